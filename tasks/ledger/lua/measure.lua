#!lua flags=no-writes
-- Reads what summary.lua does not: what is due, what is old, and what has been counted.
-- KEYS[1], ARGV[1..2]  see lib/base.lua    KEYS[2]  the stream that events come on
-- Uses lib/stream
-- ARGV[3]  our consumer group on that stream
-- Returns  { numbers, tally, marks }, each a flat list of name, value, …; tally and marks: see lib/tally.lua
--          numbers: now (ms); due: how many closures somebody must look at now; and where there is one: first_due, since
--          when the first of them is due (ms); clock_age: of the oldest closures, the longest that one has waited on the
--          open clock (ms); near_deadline: how many of these have a tenth of their time left; last_close (ms);
--          intake_since: when the first event that is not taken in yet came (ms)

local OLDEST = 50  -- so many of the oldest closures are looked at
local NEAR = 0.1

local numbers = { 'now', string.format('%.0f', NOW) }
local function tell(name, number)
  numbers[#numbers + 1] = name
  numbers[#numbers + 1] = string.format('%.0f', number)
end

-- The lowest or the highest score of an index, when it is a time; nil when the index is empty.
local function edge(index, at)
  return as_time(redis.call('ZRANGE', P .. index, at, at, 'WITHSCORES')[2])
end

local function tell_due()
  local due, first = redis.call('ZCOUNT', P .. 'agenda', '-inf', NOW), edge('agenda', 0)
  tell('due', due)
  if due > 0 and first then tell('first_due', first) end
end

-- The oldest closures by their first event. A closure that was queued again has a new deadline, so its clock began then.
local function tell_old()
  local refs, allowed, now, oldest, near = redis.call('ZRANGE', P .. 'open', 0, OLDEST - 1), span(), open_clock(), nil, 0
  for i, ref in ipairs(refs) do refs[i] = P .. 'c:' .. ref end
  for _, raw in ipairs(refs[1] and redis.call('MGET', unpack(refs)) or {}) do
    local c = raw and decode(raw)
    if c and c.d then
      local left = c.d - now
      oldest = math.max(oldest or 0, allowed - left)
      if left < allowed * NEAR then near = near + 1 end
    end
  end
  if oldest then tell('clock_age', oldest) end
  tell('near_deadline', near)
end

local function tell_intake()
  local _, own = consumer_groups(KEYS[2], ARGV[3])
  if not own then return end
  local id = own.pending > 0 and redis.call('XPENDING', KEYS[2], own.name)[2]
  if not id then
    local unread = redis.call('XRANGE', KEYS[2], '(' .. own['last-delivered-id'], '+', 'COUNT', 1)[1]
    id = unread and unread[1]
  end
  if id then tell('intake_since', clamp(tonumber(string.match(id, '^%d+')))) end
end

tell_due()
tell_old()
tell_intake()
local last_close = edge('closed', -1)
if last_close then tell('last_close', last_close) end
local function all_of(key)
  local held = redis.pcall('HGETALL', P .. key)
  return held.err and {} or held
end
return { numbers, all_of('tally'), all_of('marks') }
