-- Notices tell of what somebody may want to know at once. The script that does it writes the notice. Programs follow the
-- stream with a cursor, so they do not miss what is over before they look again. notices.py has the kinds.
--   notices  stream  { v: the entry's version, number: one more than the notice before, kind, at (ms), fields: JSON }; the
--                    last NOTICES_LIMIT of them, or a few more. A gap in the numbers means that notices were missed
--   rejected_rate  hash  minute → how many events were rejected in it, for the last hour
--   told     hash    number: how many notices there were; {kind}:{what}: when one of them was last written (ms)
-- Nothing here fails a script, because another program's key under these names must not stop the script's work. A notice
-- that cannot be written is lost. So is the notice of a script that the store never finished.

local NOTICES_LIMIT = 5000
local NOTICE_VERSION = 1
local FRESH_MS = 3600000  -- a failure is news again when none has had its reason for so long
local SELDOM_MS = 60000   -- the least time between two notices of the same kind about the same thing
local MANY_AN_HOUR, HOUR_MS = 1000, 3600000  -- so many rejected events within an hour are told, once an hour
local RUN_MS = 600000     -- the least time between two notices of rejected events

local function next_number()
  local number = redis.pcall('HINCRBY', P .. 'told', 'number', 1)
  if type(number) == 'number' then return number end
  redis.pcall('HSET', P .. 'told', 'number', 1)  -- the count was invalid, so it begins anew
  return 1
end

local function notice(kind, fields)
  local readable, text = pcall(cjson.encode, fields)
  redis.pcall('XADD', P .. 'notices', 'MAXLEN', '~', NOTICES_LIMIT, '*', 'v', NOTICE_VERSION, 'number', next_number(),
    'kind', kind, 'at', string.format('%.0f', NOW), 'fields', readable and text or '{}')
end

-- Whether to write a notice of this kind about this thing: only when the last one is at least `pause` ms old.
local function is_news(kind, what, pause)
  local field = kind .. ':' .. what
  local last = tonumber((redis.pcall('HGET', P .. 'told', field))) or 0
  if math.abs(NOW - last) < pause then return false end
  redis.pcall('HSET', P .. 'told', field, string.format('%.0f', NOW))
  return true
end

-- Counts that a closure is about to fail for `reason`, and tells it if none has for an hour or none is in that index any more.
local function notice_failure(ref, reason)
  tallies.add('failures:' .. reason)
  local newest = tonumber(redis.call('ZRANGE', P .. 'failed:' .. reason, -1, -1, 'WITHSCORES')[2])
  if newest and math.abs(NOW - newest) < FRESH_MS then return end
  if is_news('failure', reason, SELDOM_MS) then notice('failure', { reason = reason, reference = ref }) end
end

-- Tells of an event that was kept as rejected under `id`: of the first, and while more come, once in ten minutes.
local function notice_rejected(id, problem, event_type)
  if not is_news('rejected', '', RUN_MS) then return end
  if problem and #problem > 300 then problem = nil end  -- a cut text might end in the middle of a character
  notice('rejected', { id = id, problem = problem, type = event_type, waiting = redis.call('XLEN', P .. 'rejected') })
end

-- Counts rejected events, and tells once an hour that very many came within the last hour.
local function count_rejected(number)
  local rate, minute, all = P .. 'rejected_rate', math.floor(NOW / 60000), 0
  redis.pcall('HINCRBY', rate, string.format('%.0f', minute), number)
  local counts = redis.pcall('HGETALL', rate)
  for i = 1, #counts, 2 do
    local ago = minute - (tonumber(counts[i]) or 0)
    if ago >= 0 and ago < 60 then all = all + (tonumber(counts[i + 1]) or 0) else redis.pcall('HDEL', rate, counts[i]) end
  end
  if all < MANY_AN_HOUR or not is_news('rejected_growing', '', HOUR_MS) then return end
  notice('rejected_growing', { events = all, waiting = redis.call('XLEN', P .. 'rejected') })
end
