-- Reads and writes one closure's record, and moves the closure between states.
--
-- A record's fields (absent when empty, which saves memory):
--   s state   o outcome   r reason   n attempts   k failures and m "not found"s since it was queued
--   e event source   i event id   v identities of later events   u custom reference   t event time   p traceparent
--   a received at (ms)   d deadline on the open clock (ms)   x leases so far   w who holds the lease
--   g trigger (requeue, bulk)   l 1: lock before closing   h history, packed attempts, oldest first
--   f how often it was queued again because a key was refused with 403, see keys.lua
--   q operators' actions, the last ten, "ms|action|audit id"
--   b not before (ms): the time that the event asked for, by the store's clock as it stands
--   z end of the delay before the first attempt (ms), on a clock that does not jump: the store's less `moved`, see clock.lua
--   j the state that a held closure was taken from: queued, failed, or none where no event has come yet
--   ja for one taken from failed: when it had failed (ms)   jd for one taken from queued: what was left to its deadline (ms)
--   cn cancel events   ct times of complete events, see cancel.lua
--   A id of the bulk action that changed it last, while it is not closed, see bulk.lua
--   Ar the reason that it had failed for, while that action can be recalled; +: no more, because an event has come for it
--   Am when it had failed (ms): it is failed again if the attempt under way ends without a call    Ab the action that recalls it
--   y version; absent means 1. This release never writes it, which saves memory
-- Every script keeps a field that it does not know. Only an empty list comes back as an empty object.

local HISTORY_LIMIT = 20
local ACTIONS_LIMIT = 10

-- The types of a record's fields; `list` is a list of strings. These scripts never write other types. Such a record would
-- break a script in the middle, and everything else in the same call with it.
local FIELDS = { s = 'string', o = 'string', r = 'string', n = 'number', k = 'number', m = 'number', e = 'string',
  i = 'string', v = 'list', u = 'string', t = 'string', p = 'string', a = 'number', d = 'number', x = 'number',
  w = 'string', g = 'string', l = 'number', f = 'number', h = 'list', q = 'list', b = 'number', z = 'number',
  j = 'string', ja = 'number', jd = 'number', cn = 'list', ct = 'list', A = 'string', Ar = 'string', Am = 'number',
  Ab = 'string' }
local NEEDED = { queued = 'd', closing = 'd', retrying = 'd', failed = 'r', closed = 'o', discarded = 'a', held = 'j' }

local function is(value, kind)
  if kind == 'number' then return type(value) == kind and as_time(value) ~= nil end
  if kind ~= 'list' then return type(value) == kind end
  if type(value) ~= 'table' then return false end
  local size = 0
  for _, item in pairs(value) do
    size = size + 1
    if type(item) ~= 'string' then return false end
  end
  return size == #value
end

-- Every reason why a closure fails, as in closure.py.
local FAILURES = { 'not_found', 'gone', 'forbidden', 'not_locked', 'not_closable', 'invalid_request', 'unexpected_reply',
  'deadline_exceeded', 'reopened' }
local INDEXES = { 'agenda', 'dispatched', 'open', 'waiting', 'ask' }
for state in pairs(NEEDED) do INDEXES[#INDEXES + 1] = state end
local IS_FAILURE = {}
for _, reason in ipairs(FAILURES) do
  INDEXES[#INDEXES + 1] = 'failed:' .. reason
  IS_FAILURE[reason] = true
end

-- A script that moves closures calls this before its first write. `claim.lua` calls it, too, so that the API is not called
-- when the result could not be written.
local function expect_indexes()
  expect('zset', INDEXES)
  expect('hash', { 'holds' })
end

-- The record in a JSON text; nil when these scripts could not work on it and write it back.
local function decode(raw)
  local readable, c = pcall(cjson.decode, raw)
  if not (readable and type(c) == 'table' and c.e and c.i and c.a and NEEDED[c.s] and c[NEEDED[c.s]]) then return nil end
  if c.s == 'failed' and not IS_FAILURE[c.r] then return nil end
  for name, value in pairs(c) do
    if FIELDS[name] and not is(value, FIELDS[name]) or not FIELDS[name] and not pcall(cjson.encode, { value }) then return nil end
  end
  return c
end

-- The closure's record and its text. The record is nil when there is none or it cannot be read; the text is nil when there
-- is none, and "" where another program has put a key of another type in its place.
local function load(ref)
  local raw = redis.pcall('GET', P .. 'c:' .. ref)
  if not raw then return nil end
  if type(raw) == 'table' then
    if not string.find(raw.err, 'WRONGTYPE', 1, true) then error(raw) end
    return nil, ''
  end
  return decode(raw), raw
end

local not_before  -- see gate.lua
local tell_too_late  -- see cancel.lua

-- The states in which a closure is unfinished: on the agenda, and open.
local UNFINISHED = { queued = true, closing = true, retrying = true }

-- The lists that hold unfinished closures, each of them at least three.
local OF_UNFINISHED = { 'agenda', 'open', 'dispatched' }
for state in pairs(UNFINISHED) do OF_UNFINISHED[#OF_UNFINISHED + 1] = state end

-- The lists that hold a closure whose record is gone. One list alone does not prove that anybody asked to close the group,
-- because another program may have written the entry.
local function lists_of(ref)
  local lists = {}
  for _, index in ipairs(OF_UNFINISHED) do
    if redis.call('ZSCORE', P .. index, ref) then lists[#lists + 1] = index end
  end
  return lists
end

-- Whether an index says that the closure has ended. This is for a closure whose record is gone or damaged.
local function has_ended(ref)
  for state in pairs(NEEDED) do
    if not UNFINISHED[state] and redis.call('ZSCORE', P .. state, ref) then return true end
  end
  return false
end

local function save(ref, c)
  redis.call('SET', P .. 'c:' .. ref, cjson.encode(c))
end

local some_wait  -- whether closures wait for their time; nil: not looked up yet

-- When a queued closure waits for its time (ms); nil when it does not.
local function waits_until(ref)
  if some_wait == nil then some_wait = redis.call('ZCARD', P .. 'waiting') > 0 end
  return some_wait and as_time(redis.call('ZSCORE', P .. 'waiting', ref)) or nil
end

-- Has a queued closure wait until `at` (ms). It is not due until then, and its age counts from then.
local function wait_until(ref, at)
  some_wait = true
  for _, index in ipairs({ 'waiting', 'agenda', 'open' }) do redis.call('ZADD', P .. index, at, ref) end
  redis.call('ZREM', P .. 'dispatched', ref)
end

-- Puts the closure into a state, and on the agenda for `due` (ms; nil: nobody needs to look again), but not before its own
-- time. `at`: when it entered the state, if that was not now (ms). The caller saves.
local function move(ref, c, state, due, at)
  if c.A then bulk.follow(c, state) end
  if c.s then redis.call('ZREM', P .. c.s, ref) end
  if c.s == 'failed' then redis.call('ZREM', P .. 'failed:' .. c.r, ref) end
  if c.s == 'queued' then redis.call('ZREM', P .. 'dispatched', ref) end
  if c.s == 'queued' and waits_until(ref) then redis.call('ZREM', P .. 'waiting', ref) end
  if state == 'queued' or state == 'closed' then c.r = nil end
  if not due then
    redis.call('ZREM', P .. 'open', ref)
  elseif not UNFINISHED[c.s] then
    redis.call('ZADD', P .. 'open', c.a, ref)
  end
  c.s = state
  redis.call('ZADD', P .. state, at or NOW, ref)
  if state == 'failed' then
    if not at then notice_failure(ref, c.r) end
    redis.call('ZADD', P .. 'failed:' .. c.r, at or NOW, ref)
  end
  if due then redis.call('ZADD', P .. 'agenda', due, ref) else redis.call('ZREM', P .. 'agenda', ref) end
  if state == 'queued' and not_before(c) > NOW then wait_until(ref, not_before(c)) end
end

-- Writes an attempt into the history, and counts it by its verdict, the eighth field.
local function note(c, entry)
  tallies.add('attempts:' .. (string.match(entry, tallies.VERDICT) or 'unknown'))
  c.n = (c.n or 0) + 1
  c.h = c.h or {}
  c.h[#c.h + 1] = entry
  if #c.h > HISTORY_LIMIT then table.remove(c.h, 1) end
end

local OF_UNCLOSED = { 'd', 'k', 'm', 'x', 'w', 'g', 'l', 'v', 'f', 'b', 'z', 'j', 'ja', 'jd', 'A', 'Ar', 'Am', 'Ab' }

-- Marks the closure closed, and drops the fields that were needed to close it. The caller saves.
local function close(ref, c, outcome)
  tallies.add('closed:' .. outcome)
  c.o = outcome
  if c.A then bulk.called(ref, c) end
  move(ref, c, 'closed')
  for _, field in ipairs(OF_UNCLOSED) do c[field] = nil end
  if is_held(ref) then tell_too_late(ref, c) end
  drop_hold(ref)
end

-- A text that cannot break an attempt's packed line.
local function plain(text)
  return (string.gsub(text or '', '[|%c]', ' '))
end

-- Queues a closure whose lease ended without a result: its worker died or cannot reach the store. The call may have taken
-- effect; the next one then finds the group closed.
local function lose_lease(ref, c)
  local since = redis.call('ZSCORE', P .. 'closing', ref) or NOW
  note(c, string.format('%.0f', since) .. '|' .. plain(c.w) .. '|' .. plain(c.g)
    .. '|||||lost|queued|the worker died, or its lease ended before it could tell')
  c.w = nil
  if c.A then bulk.called(ref, c) end
  move(ref, c, 'queued', NOW)
end
