-- API keys that the API refuses. The ledger knows a key only by its name, a salted fingerprint that its workers send.
-- A 401 suspends a key, and so do several groups in a row that are refused with 403. Its workers then call nothing but a
-- probe now and then, while other workers go on. The gate shuts when every worker that was seen lately has a suspended key.
--   gate field key:{key}        JSON { since (ms), cause, probe: the one closure its workers may attempt, probe_at: when
--                               the next one may (ms), every: the pause after that (ms) }
--   forbidden:{key}  set        groups that it was refused with 403, since its last good reply
--   reconsider       set        groups that got 403 because of the key; they are queued again
-- A script that acts for a worker has the name of the worker's key among its ARGV. "" is a name like any other.

local SEEN_MS = 15000          -- a worker that was not seen for so long does not count
local FORGET_MS = 3600000      -- a suspended key that no worker has had for so long is forgotten
local KEY_FIRST, KEY_MOST = 15000, 60000
local FORBIDDEN_IN_A_ROW = 5
local RECONSIDERED_MOST = 3    -- a group that is refused again after so many requeues has failed by its own fault

local suspended = {}
for field, raw in pairs(gate) do
  local key = string.match(field, '^key:(.*)$')
  local found = key and object(raw, STANDING)
  if found and found.probe_at and found.every then suspended[key] = found end
end

local function set_key(key, found)
  suspended[key] = found
  gate_set('key:' .. key, found and cjson.encode(found))
end

-- The keys of the workers that were seen within `ms`, each with true.
local function keys_seen(ms)
  local seen, raw = {}, redis.pcall('HVALS', P .. 'workers')  -- empty when another program has overwritten the hash
  for i = 1, #raw do
    local at = seen_at(raw[i])
    local key = at and math.abs(NOW - at) <= ms and cjson.decode(raw[i]).key
    if type(key) == 'string' then seen[key] = true end
  end
  return seen
end

local function reconsider(key)
  if not gate['forbidden:' .. key] then return end
  redis.call('SUNIONSTORE', P .. 'reconsider', P .. 'reconsider', P .. 'forbidden:' .. key)
  redis.call('DEL', P .. 'forbidden:' .. key)
  gate_set('forbidden:' .. key, nil)
end

local function judge_keys()
  if next(suspended) then
    local good = false
    for key in pairs(keys_seen(SEEN_MS)) do good = good or not suspended[key] end
    if not good then
      shut('unauthorised', 'closer', 'no worker that is alive has a key that the API accepts')
      return
    end
  end
  open('unauthorised')
  for key in pairs(suspended) do reconsider(key) end
end

local function suspend(key, cause)
  if suspended[key] then return end
  set_key(key, { since = NOW, cause = cause, probe_at = NOW + KEY_FIRST, every = math.min(KEY_FIRST * 2, KEY_MOST) })
  notice('key_suspended', { key = key, cause = cause })
  judge_keys()
end

-- Ends the suspension of a key. `kind` is the notice that says why.
local function lift(key, kind)
  notice(kind, { key = key })
  reconsider(key)
  set_key(key, nil)
  judge_keys()
end

local function forbid(ref, key)
  local c = load(ref)
  if c and (c.f or 0) >= RECONSIDERED_MOST then return end
  local set = P .. 'forbidden:' .. key
  redis.call('SADD', set, ref)
  gate_set('forbidden:' .. key, redis.call('SCARD', set))
  if suspended[key] then
    if not reasons.unauthorised then reconsider(key) end
  elseif gate['forbidden:' .. key] >= FORBIDDEN_IN_A_ROW then
    suspend(key, 'group after group is refused with 403: the account may have lost its permission')
  end
end

-- The API accepts the key. So groups that it refused before have failed by their own fault.
local function accepted(key)
  if not gate['forbidden:' .. key] then return end
  redis.call('DEL', P .. 'forbidden:' .. key)
  gate_set('forbidden:' .. key, nil)
end

-- Forgets suspended keys that no worker has had for FORGET_MS.
local function forget_keys()
  local seen
  for key, found in pairs(suspended) do
    if NOW - found.since > FORGET_MS then
      seen = seen or keys_seen(FORGET_MS)
      if not seen[key] then lift(key, 'key_forgotten') end
    end
  end
end

-- Queues up to `most` groups again whose 403 was the key's fault.
local function queue_reconsidered(most)
  for _, ref in ipairs(redis.call('SPOP', P .. 'reconsider', most)) do
    local c = load(ref)
    if c and c.s == 'failed' and c.r == 'forbidden' then
      local times = (c.f or 0) + 1
      queue_again(ref, c)
      c.f = times
      save(ref, c)
    end
  end
end

-- The word to a worker, which says what it may call: { the time (ms); the time up to which claims must not be called any
-- more (ms, 0: all may be); since when its key is suspended (ms, 0: it is not) }. A later claim is a probe.
local function word_to(key)
  local stop, mine = 0, suspended[key] and suspended[key].since or 0
  for _, found in pairs(reasons) do stop = math.max(stop, found.since) end
  return { NOW, math.max(stop, mine), mine }
end

local function move_keys(by)
  for key, found in pairs(suspended) do
    found.since, found.probe_at = found.since + by, found.probe_at + by
    set_key(key, found)
  end
end

-- The gate for readers, JSON: { now, reasons, keys, window }. A reason whose time is over is left out.
local function gate_view()
  local shown = {}
  for reason, found in pairs(reasons) do
    if NOW < (found.till or math.huge) then shown[reason] = found end
  end
  return cjson.encode({ now = NOW, reasons = shown, keys = suspended, window = gate.window })
end
