-- The gate decides whether calls are made, and how many. Fields of the hash `gate`, absent when empty:
--   paused throttled outage unauthorised   reasons why nothing is attempted; several may stand. Each is JSON:
--             { since (ms), by, why; till: it ends by itself then (ms); probe: the one closure that may be attempted
--             meanwhile; probe_at: when the next one may (ms); every: the pause after that (ms) }
--   shut_at   since when at least one reason stands (ms)
--   lost      how long the gate was shut in all (ms): deadlines run on a clock that stands still meanwhile
--   key:{key} a suspended key, see keys.lua    forbidden:{key}  how many groups in a row it was refused with 403
--   window    most calls in flight while the gate opens again, counted from `ramp` (ms); absent: no limit
--   fresh     1: the window is that of a slow start, and the first good reply lifts it
--   bad       moving share of calls that found the API ill, 0 to 1    ill  the groups that were counted in it
--   tat       when the rate limit allows the next call (ms)
--   version   the ledger's version, see version.py; absent: 0. The hash `policy` keeps it for good. It is here, too,
--             because every script reads this hash, so that every script of an older program refuses
--   clock     the store's clock when it was last looked at (ms), see clock.lua
-- A field of another program is ignored. A damaged reason still keeps the gate shut.

local REASONS = { 'paused', 'unauthorised', 'outage', 'throttled' }  -- the gravest first
-- The fields that hold numbers, and the most that each can be.
local TIME = 1e14
local NUMBERS = { shut_at = TIME, lost = TIME, window = 1e6, ramp = TIME, bad = 1, tat = TIME, clock = TIME, version = 1e6 }
local STANDING = { since = 'number', by = 'string', why = 'string', till = 'number', probe = 'string',
  probe_at = 'number', every = 'number', cause = 'string' }
local DAMAGED_MS = 900000  -- how long a throttle lasts when its end is damaged (ms)
local PROBE_FIRST, PROBE_MOST = 1000, 5000  -- the pauses between two probes of an outage
local WINDOW_AGAIN = 4     -- calls in flight when the gate opens again; every good reply allows one more
local WINDOW_MOST = 1024   -- at so many calls in flight the limit is lifted

local gate, reasons = {}, {}

-- The JSON object in a text whose fields are as `kinds` says; nil when it is not one.
local function object(raw, kinds)
  local readable, found = pcall(cjson.decode, raw)
  if not (readable and type(found) == 'table' and found.since) then return nil end
  for name, kind in pairs(kinds) do
    if found[name] ~= nil and type(found[name]) ~= kind then return nil end
  end
  return found
end

local function stand_in(reason)
  local since = gate.shut_at or NOW
  local found = { since = since, by = 'closer', why = 'its record in the store is damaged' }
  if reason == 'throttled' then found.till = since + DAMAGED_MS end
  if reason == 'outage' then found.probe_at, found.every = since, PROBE_FIRST end
  return found
end

local function whole(reason, found)
  return found and (reason ~= 'throttled' or found.till) and (reason ~= 'outage' or found.probe_at and found.every)
end

do
  local raw = redis.call('HGETALL', P .. 'gate')
  for i = 1, #raw, 2 do gate[raw[i]] = raw[i + 1] end
  for field, most in pairs(NUMBERS) do
    local number = tonumber(gate[field])
    gate[field] = number and math.abs(number) <= most and number or nil
  end
  refuse_newer(gate.version or 0)
  if gate.shut == 'paused' and not gate.paused then  -- written by a release that knew one reason at a time
    gate.paused = cjson.encode({ since = tonumber(gate.since) or NOW, by = gate.by or '', why = gate.why or '' })
  end
  for _, reason in ipairs(REASONS) do
    if gate[reason] then
      local found = object(gate[reason], STANDING)
      reasons[reason] = whole(reason, found) and found or stand_in(reason)
      gate.shut_at = math.min(gate.shut_at or NOW, reasons[reason].since)
    end
  end
end

local function gate_set(field, value)
  if value == nil then
    if gate[field] then redis.call('HDEL', P .. 'gate', field) end
  else
    redis.call('HSET', P .. 'gate', field, tostring(value))
  end
  gate[field] = value
end

-- Writes a reason into the gate; nil removes it.
local function stand(reason, found)
  reasons[reason] = found
  gate_set(reason, found and cjson.encode(found))
end

-- The time (ms) of the open clock, which deadlines use. It stands still while the gate is shut.
local function open_clock()
  local lost = gate.lost or 0
  if gate.shut_at then lost = lost + NOW - gate.shut_at end
  return NOW - lost
end

-- By how much plans have been moved so far (ms); 0 when the field is lost or invalid.
local function moved_so_far()
  local moved = tonumber(gate.moved or 0)
  return moved and math.abs(moved) <= LATEST and moved or 0
end

-- When the closure may be attempted first (ms); 0: at any time.
function not_before(c)
  return math.max(c.b or 0, c.z and c.z + moved_so_far() or 0)
end

-- For how long it must wait until then (ms).
local function must_wait(c)
  return math.max(0, not_before(c) - NOW)
end

local function queue_again(ref, c, trigger)
  c.k, c.m, c.g, c.f = nil, nil, trigger, nil
  c.d = open_clock() + must_wait(c) + span()
  move(ref, c, 'queued', NOW)
end

local LEFT_LEAST = 60000  -- a released closure is tried for at least this long (ms)

-- Makes a closure held. The caller has written the hold, and saves.
local function put_on_hold(ref, c)
  if c.s == 'failed' then
    c.j, c.ja = 'failed', as_time(redis.call('ZSCORE', P .. 'failed', ref)) or NOW
  else
    c.j, c.jd = 'queued', math.max(0, math.floor(c.d - open_clock() - must_wait(c)))
  end
  note_from(ref, c.j)
  move(ref, c, 'held')
  c.d = nil
end

-- Makes a closure held if its group is. A script calls it after it has put the closure into any other state than `closing`.
local function keep_held(ref, c)
  if c.s ~= 'closed' and c.s ~= 'held' and is_held(ref) then put_on_hold(ref, c) end
end

-- Ends the lease of an attempt that has not told its result. Whether a held group's call took effect must then be asked.
local function end_lease(ref, c)
  lose_lease(ref, c)
  if not is_held(ref) then return end
  put_on_hold(ref, c)
  redis.call('ZADD', P .. 'ask', NOW, ref)
end

-- Gives a held closure the state back that it was taken from. The caller ends the hold, and saves.
local function take_off_hold(ref, c)
  local from, failed_at, left = c.j, c.ja, c.jd
  c.j, c.ja, c.jd = nil, nil, nil
  if from == 'failed' and IS_FAILURE[c.r] then
    move(ref, c, 'failed', nil, failed_at)
  else
    c.d = open_clock() + must_wait(c) + math.max(left or span(), LEFT_LEAST)
    move(ref, c, 'queued', NOW)
  end
end

-- Adds a reference to a short list in the gate, which keeps the last `most`. False when it was in the list already.
local function gate_add(field, ref, most)
  local refs = {}
  for known in string.gmatch(gate[field] or '', '%S+') do
    if known == ref then return false end
    refs[#refs + 1] = known
  end
  refs[#refs + 1] = ref
  if #refs > most then table.remove(refs, 1) end
  gate_set(field, table.concat(refs, ' '))
  return true
end

local function ramp(window, fresh)
  gate_set('window', window)
  gate_set('ramp', NOW)
  gate_set('fresh', fresh)
end

-- Shuts the gate for one more reason. `found` holds its probes or its end. An existing reason stays as it is.
local function shut(reason, by, why, found)
  if reasons[reason] then return end
  tallies.add('gate_shut:' .. reason)
  if not gate.shut_at then gate_set('shut_at', NOW) end
  found = found or {}
  found.since, found.by, found.why = NOW, by, why
  stand(reason, found)
  notice('gate_shut', { reason = reason, by = by, why = why, till = found.till })
end

-- Ends one reason. When it was the last, the gate opens, for few calls at first.
local function open(reason)
  local stood = reasons[reason]
  if stood then stand(reason, nil) end
  if reason == 'paused' then gate_set('shut', nil) end
  if next(reasons) or not gate.shut_at then
    if stood then notice('gate_reason_over', { reason = reason }) end
    return
  end
  notice('gate_opened', { reason = reason, shut_ms = NOW - gate.shut_at })
  gate_set('lost', (gate.lost or 0) + NOW - gate.shut_at)
  gate_set('shut_at', nil)
  gate_set('bad', nil)
  gate_set('ill', nil)
  ramp(WINDOW_AGAIN)
end

local function shut_outage()
  shut('outage', 'closer', 'most calls end in time-outs, cut connections or 5xx: the API is ill or cannot be reached',
    { every = PROBE_FIRST, probe_at = NOW + PROBE_FIRST })
end

-- Holds the fleet back for `hold` ms, as the API asked. Of two such requests the later end counts.
local function throttle(hold)
  local till = NOW + hold
  if not reasons.throttled then
    shut('throttled', 'closer', 'the API asked to hold back (Retry-After)', { till = till })
  elseif till > reasons.throttled.till then
    reasons.throttled.till = till
    stand('throttled', reasons.throttled)
  end
end

-- Whether the gate is shut. First ends the reasons whose time is over.
local function is_shut()
  for _, reason in ipairs(REASONS) do
    if reasons[reason] and NOW >= (reasons[reason].till or math.huge) then open(reason) end
  end
  if gate.shut_at and not next(reasons) then open() end  -- another program has deleted the reason
  return gate.shut_at ~= nil
end

-- Whether probes are forbidden, because an operator paused or the API asked to hold back.
local function no_probes()
  return reasons.paused or reasons.throttled
end

-- How many calls are in flight that began since the gate last opened.
local function in_flight()
  return redis.call('ZCOUNT', P .. 'closing', gate.ramp or '-inf', '+inf')
end

-- Reserves the next slot by the generic cell rate algorithm, and returns the ms until then. `pause`: the time between two
-- calls (ms); 0: no limit.
local next_free
local function next_slot(pause)
  if pause <= 0 then return 0 end
  local at = math.max(NOW, next_free or gate.tat or 0)
  next_free = at + pause
  return at - NOW
end

-- Writes the reserved slots. A script calls it once, after it has reserved all its slots.
local function keep_slots()
  if next_free then gate_set('tat', next_free) end
end

-- Moves the gate's times by `by` ms when the store's clock was set.
local function move_gate(by)
  for _, reason in ipairs(REASONS) do
    local found = reasons[reason]
    if found then
      for _, field in ipairs({ 'since', 'till', 'probe_at' }) do found[field] = found[field] and found[field] + by end
      stand(reason, found)
    end
  end
  for _, field in ipairs({ 'shut_at', 'ramp', 'tat' }) do
    if gate[field] then gate_set(field, gate[field] + by) end
  end
  gate_set('lost', (gate.lost or 0) + by)  -- the open clock does not jump
end
