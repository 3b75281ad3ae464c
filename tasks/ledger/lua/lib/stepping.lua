-- Carries bulk actions on, see bulk.lua. Each item is done and taken off in the same step, so a crash anywhere leaves each done
-- once. The scripts bulk_step.lua and hold.lua say what is done to an item.

local stepping = {}

do
local S = stepping  -- S.ID, S.a: the action that is carried on, and its fields; S.answered: whether this step has answers of the API

S.LEASE_MOST = 60000    -- a longer lease is another clock's, and over (ms)
S.LOOK_AGAIN = 500      -- the pause while it waits for the gate, the canary or marked items (ms)
S.MARKED_MOST = 3600000 -- after so long the rest of the marked items is not waited for (ms)
S.DROPPED = 5000        -- items of a recalled action that one step drops

function S.number(field) return tonumber(S.a[field]) or 0 end

function S.set(fields) bulk.set(S.ID, S.a, fields) end

-- Whether the API is asked for each item before the item is done.
function S.asks() return S.a.verb == 'verify' or S.a.ask ~= nil end

function S.left() return redis.call('ZCARD', bulk.left(S.ID, S.a)) end

-- Whether another one than `holder` carries the action.
function S.is_elsewhere(holder)
  local till = tonumber(redis.call('ZSCORE', P .. 'actions:open', S.ID)) or 0
  return S.a.holder and S.a.holder ~= holder and till > NOW and till <= NOW + S.LEASE_MOST
end

function S.stop_canary(because)
  S.set({ canary_over = 'failed' })
  bulk.finish(S.ID, S.a, 'stopped', because)
end

-- What keeps the canary from its end; nil when the action goes on. Stops the action when it has not gone well.
function S.judge_canary()
  local out = S.a.canary .. ' canary items'
  local undecided = S.number('became:waiting') + S.number('became:retrying')
  if S.number('fails') > 0 then
    return S.stop_canary(string.format('%d of the %s failed again', S.number('fails'), out))
  elseif undecided == 0 and S.number('became:closed') == 0 then
    return S.stop_canary('none of the ' .. out .. ' was closed: all of them were held, discarded or recalled')
  elseif undecided == 0 then
    S.set({ canary_over = 'closed' })
    return nil
  elseif open_clock() - S.number('canary_at') >= S.number('canary_wait') then
    return S.stop_canary(string.format('%d of the %s are undecided after %.0f min: %d retrying, %d waiting', undecided, out,
      S.number('canary_wait') / 60000, S.number('became:retrying'), S.number('became:waiting')))
  end
  return 'canary'
end

function S.is_canary_out()
  return S.a.canary and not S.a.canary_over and S.number('changed') >= S.number('canary')
end

-- Whether the shut gate keeps it from its next items. It never keeps what the API has said from being written.
function S.is_kept_by_gate()
  if S.answered or not (S.asks() or S.a.verb == 'requeue' and (S.a.rate or S.a.canary)) then return false end
  return is_shut() and (not S.a.while_shut or reasons.throttled ~= nil)
end

-- What the action waits for: gate or canary; nil when items may be done.
function S.waits_for()
  if S.is_kept_by_gate() then return 'gate' end
  if not S.is_canary_out() then return nil end
  if not S.a.canary_at then S.set({ canary_at = string.format('%.0f', open_clock()) }) end
  return S.judge_canary()
end

-- How many items may be done now, and ms until the pace allows more.
function S.room(most)
  local early, rate = S.number('next_at') - NOW, S.number('rate')
  if early > 0 and rate > 0 and early <= math.max(1000, 1000 / rate) then return 0, math.ceil(early) end
  if rate > 0 then most = math.max(1, math.min(most, math.floor(rate))) end
  if S.a.canary and not S.a.canary_over then most = math.min(most, S.number('canary') - S.number('changed')) end
  return most, 0
end

-- `change`: does one item, and returns `done`, `marked`, `later` (it is left), or why it was not done.
function S.do_items(most, change)
  local key, refs, whys, counts = bulk.left(S.ID, S.a), {}, {}, {}
  local items = redis.call('ZRANGE', key, 0, most - 1, 'WITHSCORES')
  local changed, marked = 0, 0
  for i = 1, #items, 2 do
    local ref = items[i]
    local word = change(ref, tonumber(items[i + 1]))
    if word ~= 'later' then refs[#refs + 1] = ref end
    if word == 'done' then
      changed = changed + 1
    elseif word == 'marked' then
      marked = marked + 1
    elseif word ~= 'later' then
      whys[ref], counts[word] = word, (counts[word] or 0) + 1
    end
  end
  if #refs > 0 then redis.call('ZREM', key, unpack(refs)) end
  bulk.skip(S.ID, whys)
  if #refs > 0 then audited(S.a.audit, changed, counts) end
  S.set({ changed = S.number('changed') + changed, marked = S.number('marked') + marked })
  if marked > 0 then S.set({ marked_at = string.format('%.0f', NOW) }) end
  if S.number('rate') > 0 and #refs > 0 then
    S.set({ next_at = string.format('%.0f', NOW + #refs * 1000 / S.number('rate')) })
  end
  return #refs
end

-- Drops some items of the action that this one recalls, which it has not come to. Whether there are more.
function S.drop_rest()
  local rest = S.a.of and bulk.key(S.a.of, 'items')
  if not rest or redis.call('ZCARD', rest) == 0 then return false end
  redis.call('ZREMRANGEBYRANK', rest, 0, S.DROPPED - 1)
  return true
end

function S.reply(wait, looked, waits_for)
  return { S.a.state, math.ceil(wait), S.left(), looked, waits_for or '' }
end

function S.go_on(most, change)
  S.set({ state = 'running', waits_for = false })
  local room, wait = S.room(most)
  local looked = room > 0 and S.do_items(room, change) or 0
  local rest = S.drop_rest()
  if S.left() > 0 or rest then
    local pause = S.number('rate') > 0 and math.max(0, S.number('next_at') - NOW) or 0
    return S.reply(wait > 0 and wait or pause, looked)
  end
  local waited = NOW - S.number('marked_at')
  if S.number('marked') > 0 and waited >= 0 and waited < S.MARKED_MOST then return S.reply(S.LOOK_AGAIN, looked, 'attempts') end
  bulk.finish(S.ID, S.a, 'done')
  return S.reply(0, looked)
end

function S.step(holder, lease, most, change)
  if S.a.state ~= 'running' and S.a.state ~= 'waiting' then return S.reply(0, 0) end
  if S.is_elsewhere(holder) then return { 'elsewhere', 0, S.left(), 0, '' } end
  S.set({ holder = holder })
  redis.call('ZADD', P .. 'actions:open', NOW + lease, S.ID)
  local what = S.waits_for()
  if S.a.state == 'stopped' then return S.reply(0, 0) end
  if what then
    S.set({ state = 'waiting', waits_for = what })
    return S.reply(S.LOOK_AGAIN, 0, what)
  end
  return S.go_on(most, change)
end

-- Begins to carry the action on, and fails before the first write where a key is another program's. Returns its fields; nil:
-- there is none.
function S.begin(id)
  expect_indexes()
  expect('stream', { 'audit' })
  bulk.expect(id)
  S.ID, S.a = id, bulk.read(id)
  if S.a and S.a.of then bulk.expect(S.a.of) end
  return S.a
end

-- Does up to `most` of the next items with `change`, as far as pace, canary and gate allow. `holder` carries the action for
-- `lease` ms from now. Returns { the action's state, or "unknown" (there is none), or "elsewhere" (another one carries it); ms
-- to wait before the next step; how many items are left; how many were looked at now; what it waits for: gate, canary,
-- attempts (of marked items), or "" }.
function S.run(holder, lease, most, change)
  if S.a then return S.step(holder, lease, most, change) end
  redis.call('ZREM', P .. 'actions:open', S.ID)
  return { 'unknown', 0, 0, 0, '' }
end
end
