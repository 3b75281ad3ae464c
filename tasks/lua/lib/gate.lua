-- The gate: whether calls are made, and how many. Its fields:
--   shut      reason why nothing is attempted (paused, unauthorised, outage, throttled); absent: open
--   since by why   when (ms), by whom, and why in words     till  opens by itself then (ms)
--   probe     the one closure that may be attempted while it is shut; probe_at, every  the next one (ms), the pause (ms)
--   window    most calls in flight while it opens again, counted from `ramp` (ms); absent: no limit
--   fresh     1: the window is only a start's, and the first good reply lifts it
--   bad       share of calls that found the API ill, 0 to 1, moving; ill: the groups that counted for it
--   forbidden groups refused with 403 in a row
--   lost      how long it was shut in all (ms): deadlines run on a clock that stands still meanwhile
--   tat       when the rate limit allows the next call (ms)
--   clock     the store's clock when it was last looked at (ms), see clock.lua

local gate = {}
do
  local raw = redis.call('HGETALL', P .. 'gate')
  for i = 1, #raw, 2 do gate[raw[i]] = raw[i + 1] end
end

local RANK = { throttled = 1, outage = 2, unauthorised = 3, paused = 4 }
local PROBE_FIRST = { outage = 1000, unauthorised = 15000 }
local PROBE_MOST = { outage = 5000, unauthorised = 60000 }
local FORBIDDEN_IN_A_ROW = 5
local WINDOW_AGAIN = 4     -- calls in flight when the gate opens again; every good reply allows one more
local WINDOW_MOST = 1024   -- where the limit is lifted

local function gate_set(field, value)
  if value == nil then
    if gate[field] then redis.call('HDEL', P .. 'gate', field) end
    gate[field] = nil
  else
    gate[field] = tostring(value)
    redis.call('HSET', P .. 'gate', field, gate[field])
  end
end

-- The time on the clock that deadlines run on: it stands still while the gate is shut.
local function open_clock()
  local lost = tonumber(gate.lost or 0)
  if gate.shut then lost = lost + NOW - gate.since end
  return NOW - lost
end

local function queue_again(ref, c, trigger)
  c.k, c.m, c.g = nil, nil, trigger
  c.d = open_clock() + SPAN
  move(ref, c, 'queued', NOW)
end

-- Adds a reference to a list in the gate, of which the last `most` are kept (nil: all); returns the list's new length,
-- or nil when it stood there already.
local function gate_add(field, ref, most)
  local refs = {}
  for known in string.gmatch(gate[field] or '', '%S+') do
    if known == ref then return nil end
    refs[#refs + 1] = known
  end
  refs[#refs + 1] = ref
  if most and #refs > most then table.remove(refs, 1) end
  gate_set(field, table.concat(refs, ' '))
  return #refs
end

local function ramp(window, fresh)
  gate_set('window', window)
  gate_set('ramp', NOW)
  gate_set('fresh', fresh)
end

local function gate_open()
  -- A few were refused each for itself. So many, or while the key was refused: it was the account, whatever shut the
  -- gate since (a pause, while somebody mends the account, outranks the reason).
  local forbidden = {}
  for ref in string.gmatch(gate.forbidden or '', '%S+') do forbidden[#forbidden + 1] = ref end
  if gate.shut ~= 'unauthorised' and #forbidden < FORBIDDEN_IN_A_ROW then forbidden = {} end
  gate_set('lost', tonumber(gate.lost or 0) + NOW - gate.since)
  for _, field in ipairs({ 'shut', 'since', 'by', 'why', 'till', 'probe', 'probe_at', 'every', 'bad', 'ill', 'forbidden' }) do
    gate_set(field, nil)
  end
  ramp(WINDOW_AGAIN)
  for _, ref in ipairs(forbidden) do
    local c = load(ref)
    if c and c.s == 'failed' and c.r == 'forbidden' then
      queue_again(ref, c)
      save(ref, c)
    end
  end
end

-- Shuts the gate, or keeps it shut for the graver of two reasons.
local function gate_shut(reason, why, by, till)
  if gate.shut == 'throttled' and reason == 'throttled' then
    if till > tonumber(gate.till) then gate_set('till', till) end
    return
  end
  if gate.shut and RANK[gate.shut] >= RANK[reason] then
    if till and gate.probe_at and till > tonumber(gate.probe_at) then gate_set('probe_at', till) end
    return
  end
  if gate.shut then gate_set('lost', tonumber(gate.lost or 0) + NOW - gate.since) end
  gate_set('shut', reason)
  gate_set('since', NOW)
  gate_set('by', by)
  gate_set('why', why)
  gate_set('till', till)
  gate_set('probe', nil)
  gate_set('every', PROBE_FIRST[reason])
  gate_set('probe_at', PROBE_FIRST[reason] and NOW + PROBE_FIRST[reason])
end

-- The reason why the gate is shut, or nil; opens it first when its time has come.
local function gate_reason()
  if gate.till and NOW >= tonumber(gate.till) then gate_open() end
  return gate.shut
end

-- How many calls of this opening are in flight.
local function in_flight()
  return redis.call('ZCOUNT', P .. 'closing', gate.ramp or '-inf', '+inf')
end
