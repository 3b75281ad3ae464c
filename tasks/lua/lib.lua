-- What every script begins with: the keys, one closure's record and its moves, the gate.
--
-- KEYS[1]  prefix of all keys ("closer:"). The others are built from it:
--   c:{reference}    string  the closure's record, JSON, see below
--   {state}          zset    the references in that state, by when they entered it (ms)
--   failed:{reason}  zset    the same for each failure reason
--   agenda           zset    every unfinished closure, by when someone must next look at it (ms)
--   dispatched       zset    queued closures that a task message names, by when it was sent (ms)
--   open             zset    every unfinished closure, by when its first event was received (ms)
--   audit            stream  operators' actions, see "The audit" below
--   gate             hash    see "The gate" below; absent: open
-- ARGV[1]  "now|since". now: the time (ms); "": the store's clock, which is the only clock the ledger knows.
--          since: how long ago this caller last looked at that clock (ms); "-": never; "": it only reads, and does not look
-- ARGV[2]  how long a closure is tried for, from the event or the re-queue (ms)
--
-- A record's fields (absent when they say nothing, for there are many records):
--   s state   o outcome   r reason   n attempts   k failures and m "not found"s since it was queued
--   e event source   i event id   v identities of later events   u custom reference   t event time   p traceparent
--   a received at (ms)   d deadline on the open clock (ms)   x leases so far   w who holds the lease
--   g trigger (requeue, bulk)   l 1: lock before closing   h history, packed attempts, oldest first
--   q operators' actions, the last ten, "ms|action|audit id"

local P = KEYS[1]
local NOW, SINCE = string.match(ARGV[1], '^(%d*)|([%d-]*)$')
NOW = tonumber(NOW)
if not NOW then
  local t = redis.call('TIME')
  NOW = t[1] * 1000 + math.floor(t[2] / 1000)
end
local SPAN = tonumber(ARGV[2])
local HISTORY_LIMIT = 20
local ACTIONS_LIMIT = 10

-- What a record's fields are; `list`: of strings. One that is otherwise was not written by these scripts, and would
-- break them in the middle, and with them whatever else is in the same call.
local FIELDS = { s = 'string', o = 'string', r = 'string', n = 'number', k = 'number', m = 'number', e = 'string',
  i = 'string', v = 'list', u = 'string', t = 'string', p = 'string', a = 'number', d = 'number', x = 'number',
  w = 'string', g = 'string', l = 'number', h = 'list', q = 'list' }
local NEEDED = { queued = 'd', closing = 'd', retrying = 'd', failed = 'r', closed = 'o', discarded = 'a' }

local function is(value, kind)
  if kind ~= 'list' then return type(value) == kind end
  if type(value) ~= 'table' then return false end
  local size = 0
  for _, item in pairs(value) do
    size = size + 1
    if type(item) ~= 'string' then return false end
  end
  return size == #value
end

-- The record in a text, or nil when it is none.
local function decode(raw)
  local readable, c = pcall(cjson.decode, raw)
  if not (readable and type(c) == 'table' and c.e and c.i and c.a and NEEDED[c.s] and c[NEEDED[c.s]]) then return nil end
  for name, value in pairs(c) do
    if FIELDS[name] and not is(value, FIELDS[name]) then return nil end
  end
  return c
end

-- The closure's record; nil when there is none, or none that can be read: then its text is the second result.
local function load(ref)
  local raw = redis.call('GET', P .. 'c:' .. ref)
  if not raw then return nil end
  return decode(raw), raw
end

local function save(ref, c)
  redis.call('SET', P .. 'c:' .. ref, cjson.encode(c))
end

-- Puts the closure into a state, and on the agenda at `due` (nil: nobody needs to look again); the caller saves.
local function move(ref, c, state, due)
  if c.s then redis.call('ZREM', P .. c.s, ref) end
  if c.s == 'failed' then redis.call('ZREM', P .. 'failed:' .. c.r, ref) end
  if c.s == 'queued' then redis.call('ZREM', P .. 'dispatched', ref) end
  if state == 'queued' or state == 'closed' then c.r = nil end
  if not due then
    redis.call('ZREM', P .. 'open', ref)
  elseif not c.s or c.s == 'failed' then
    redis.call('ZADD', P .. 'open', c.a, ref)
  end
  c.s = state
  redis.call('ZADD', P .. state, NOW, ref)
  if state == 'failed' then redis.call('ZADD', P .. 'failed:' .. c.r, NOW, ref) end
  if due then redis.call('ZADD', P .. 'agenda', due, ref) else redis.call('ZREM', P .. 'agenda', ref) end
end

local function note(c, entry)
  c.n = (c.n or 0) + 1
  c.h = c.h or {}
  c.h[#c.h + 1] = entry
  if #c.h > HISTORY_LIMIT then table.remove(c.h, 1) end
end

-- That a group is closed is a fact: what was needed to close it is forgotten; the caller saves.
local function close(ref, c, outcome)
  c.o = outcome
  c.d, c.k, c.m, c.x, c.w, c.g, c.l, c.v = nil, nil, nil, nil, nil, nil, nil, nil
  move(ref, c, 'closed')
end

-- A text that cannot break an attempt's packed line.
local function plain(text)
  return (string.gsub(text or '', '[|%c]', ' '))
end

-- A lease that ended without a word: its worker died, or cannot reach the store. The call may have taken effect.
local function lose_lease(ref, c)
  local since = redis.call('ZSCORE', P .. 'closing', ref) or NOW
  note(c, string.format('%.0f', since) .. '|' .. plain(c.w) .. '|' .. plain(c.g)
    .. '|||||lost|queued|the worker died, or its lease ended before it could tell')
  c.w = nil
  move(ref, c, 'queued', NOW)
end

-- The audit ------------------------------------------------------------------------------------------------------
-- An action is announced by an entry { by, action, filter, matched, why } before anything changes. What it changes is
-- added, by the step that changes it, as entries { of: the announcement's id, changed, skipped: JSON {why: n} }.

local function audited(of, changed, skipped)
  if of ~= '' then
    redis.call('XADD', P .. 'audit', '*', 'of', of, 'changed', changed, 'skipped', cjson.encode(skipped))
  end
end

-- Writes an operator's action into the record; the caller saves.
local function sign(c, action, of)
  if of == '' then return end
  c.q = c.q or {}
  c.q[#c.q + 1] = string.format('%.0f', NOW) .. '|' .. action .. '|' .. of
  if #c.q > ACTIONS_LIMIT then table.remove(c.q, 1) end
end

-- The gate -------------------------------------------------------------------------------------------------------
--   shut      reason why nothing is attempted (paused, unauthorised, outage, throttled); absent: open
--   since by why   when (ms), by whom, and why in words     till  opens by itself then (ms)
--   probe     the one closure that may be attempted while it is shut; probe_at, every  the next one (ms), the pause (ms)
--   window    most calls in flight while it opens again, counted from `ramp` (ms); absent: no limit
--   fresh     1: the window is only a start's, and the first good reply lifts it
--   bad       share of calls that found the API ill, 0 to 1, moving; ill: the groups that counted for it
--   forbidden groups refused with 403 in a row
--   lost      how long it was shut in all (ms): deadlines run on a clock that stands still meanwhile
--   tat       when the rate limit allows the next call (ms)
--   clock     the store's clock when it was last looked at (ms), see "The clock" below

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

-- The clock ------------------------------------------------------------------------------------------------------
-- It may be set while work waits, or another store with another clock takes over. That is seen when it stands before
-- where it stood, or further on than the caller knows time to have passed; then all that is planned moves with it. A store
-- that was frozen for a while looks the same: then, too, everything is as far off as it was.

local JUMP = 5000  -- less cannot be told from a slow network
local LOOK = 500

local function move_plans(by)
  for _, index in ipairs({ 'agenda', 'dispatched', 'open', 'closing' }) do
    local planned = redis.call('ZRANGE', P .. index, 0, -1, 'WITHSCORES')
    for i = 1, #planned, 2 do redis.call('ZADD', P .. index, planned[i + 1] + by, planned[i]) end
  end
  for _, field in ipairs({ 'since', 'till', 'probe_at', 'ramp', 'tat' }) do
    if gate[field] then gate_set(field, gate[field] + by) end
  end
  gate_set('lost', tonumber(gate.lost or 0) + by)  -- the open clock does not jump
end

local function look_at_clock(since)
  local passed = NOW - tonumber(gate.clock or NOW)
  local jump = passed - (since or 0)
  local jumped = passed < -JUMP or since and jump > JUMP
  if jumped then move_plans(jump) end
  if jumped or not gate.clock or passed >= LOOK then gate_set('clock', NOW) end
end

if SINCE ~= '' then look_at_clock(tonumber(SINCE)) end
