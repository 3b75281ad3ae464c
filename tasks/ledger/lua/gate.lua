-- Opens or shuts the gate by hand, holds the fleet back, or begins a slow start.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  pause: an operator shuts the gate; resume: the pause is over, and the next probe is due at once; override: a
--          resume that also ends a Retry-After; throttle: the API asked a caller to hold back; start: a worker starts.
--          It does not know yet whether its key is accepted, so few calls are made at first
-- ARGV[4]  by whom    ARGV[5]  why    ARGV[6]  throttle: for how long (ms); start: the worker's key
-- ARGV[7]  the door that an operator came through
-- An operator's action is written into the audit in the same step, see lib/audit.lua. `changed` is 0 when it changed
-- nothing.
-- Returns  the gate, JSON, see lib/keys.lua

local WINDOW_START = 48

local verb, by, why = ARGV[3], ARGV[4], ARGV[5]

local function probe_now()
  local changed = false
  if reasons.outage then
    reasons.outage.probe_at, reasons.outage.every, changed = NOW, PROBE_FIRST, true
    stand('outage', reasons.outage)
  end
  for key, found in pairs(suspended) do
    found.probe_at, found.every, changed = NOW, KEY_FIRST, true
    set_key(key, found)
  end
  return changed
end

local function pause()
  local changed = not reasons.paused
  shut('paused', by, why)
  return changed
end

local function resume()
  local changed = reasons.paused ~= nil
  open('paused')
  return probe_now() or changed
end

local function override()
  local changed = reasons.throttled ~= nil
  open('throttled')
  return resume() or changed
end

local OPERATORS = { pause = pause, resume = resume, override = override }

expect('stream', { 'audit' })
is_shut()
if OPERATORS[verb] then
  tallies.add('actions:' .. verb)
  local changed = OPERATORS[verb]()
  redis.call('XADD', P .. 'audit', '*', 'by', by, 'door', ARGV[7], 'action', verb, 'matched', 1, 'why', why,
    'changed', changed and 1 or 0)
elseif verb == 'throttle' then
  throttle(tonumber(ARGV[6]))
elseif verb == 'start' and not gate.shut_at and not suspended[ARGV[6]] and (gate.fresh or not gate.window) then
  ramp(WINDOW_START, 1)
end
return gate_view()
