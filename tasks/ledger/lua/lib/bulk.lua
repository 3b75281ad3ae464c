-- Bulk actions: what an operator does to many closures. They are stored, so any process can carry one on.
--   actions         zset  id → when it was begun (ms). Ids sort by time
--   actions:open    zset  id → until when somebody carries it (ms; 0: nobody does); those that run or wait
--   actions:ended   zset  id → when it ended or was stopped (ms)
--   actions:drafts  zset  id → when its freezing began (ms); a draft is not an action yet
--   action:{id}     hash  verb, by, door, why, selection (JSON), hash (of the frozen references), matched, eligible, skipped (JSON,
--                         when it was frozen), audit (id), created (ms): as it was begun
--                         ask: the API is asked for each item first; while_shut: also while the gate is shut
--                         trigger, lock, rate (items a second), canary (items), canary_wait (ms of the open clock): its options
--                         state: running, waiting, stopped, done or recalled; waits_for: gate or canary; stopped_because, ended (ms)
--                         holder: who carries it; next_at: when its pace allows more (ms)
--                         changed; skips: JSON [[why, n], …] of those not done; became:{what}: what those changed are by now;
--                         fails: how often one of them has failed since; recalled: how many were taken back
--                         canary_at (open clock, ms): when the canary was out; canary_over: its end, `closed` or `failed`
--                         of: the action that this one recalls; marked: how many of its items return if they are not called
--   action:{id}:items    zset  what is left: reference → when it entered its state (ms; 0: whatever its state)
--   action:{id}:changed  zset  what can be recalled: reference → when it had entered the state that it had (ms). Of verify: what was
--                         closed here and not at the API
--   action:{id}:not      zset  what was not done: reference → the place of why in `skips`; those of verify that agree are only counted
-- What is counted here for another script's closures must not fail that script: another program may have put anything here.

local bulk = {}

bulk.BECAME = { queued = 'waiting', closing = 'waiting', retrying = 'retrying', held = 'held', failed = 'failed',
  closed = 'closed', discarded = 'discarded' }

function bulk.key(id, part) return P .. 'action:' .. id .. (part and ':' .. part or '') end

function bulk.count(id, field, by)
  local key = bulk.key(id or '')
  if redis.pcall('HEXISTS', key, 'verb') == 1 then redis.pcall('HINCRBY', key, field, by) end
end

-- Counts at the closure's action that it passes into another state.
function bulk.follow(c, state)
  local from, to = bulk.BECAME[c.s], bulk.BECAME[state]
  if from == to then return end
  bulk.count(c.A, 'became:' .. from, -1)
  bulk.count(c.A, 'became:' .. to, 1)
  if to == 'failed' then bulk.count(c.A, 'fails', 1) end
end

-- Writes why some items of an action were not done. `whys`: reference → why.
function bulk.skip(id, whys)
  if not next(whys) then return end
  local readable, skips = pcall(cjson.decode, redis.pcall('HGET', bulk.key(id), 'skips'))
  skips = readable and type(skips) == 'table' and skips or {}
  local places = {}
  for place, skip in ipairs(skips) do
    if type(skip) ~= 'table' or type(skip[1]) ~= 'string' then skip = { '?', 0 } end  -- another program wrote it
    skips[place], places[skip[1]] = { skip[1], tonumber(skip[2]) or 0 }, place
  end
  for ref, why in pairs(whys) do
    if not places[why] then
      skips[#skips + 1] = { why, 0 }
      places[why] = #skips
    end
    skips[places[why]][2] = skips[places[why]][2] + 1
    if why ~= 'agree' then redis.pcall('ZADD', bulk.key(id, 'not'), places[why], ref) end
  end
  redis.pcall('HSET', bulk.key(id), 'skips', cjson.encode(skips))
end

-- Ends the mark of a closure that was to return if it was not called: it stays where it is.
function bulk.unmark(ref, c, why)
  local recall = c.Ab
  c.Am, c.Ab = nil, nil
  if recall and redis.pcall('HEXISTS', bulk.key(recall), 'verb') == 1 then
    bulk.count(recall, 'marked', -1)
    bulk.skip(recall, { [ref] = why })
  end
end

-- The closure was called, or may have been. It cannot be recalled any more.
function bulk.called(ref, c)
  c.Ar = nil
  if c.Am then bulk.unmark(ref, c, 'called') end
end

-- An event came for the closure, so somebody asks for it beside the operator. It cannot be recalled any more.
function bulk.event_came(ref, c)
  if c.Ar then c.Ar = '+' end
  if c.Am then bulk.unmark(ref, c, 'an event came') end
end
