-- Notices: what somebody may want to be told of at once, written by the script that does it. Programs follow the stream
-- with a cursor, so that nothing is missed that is over before they look again; see notices.py for the kinds.
--   notices  stream  { v: the entry's version, number: one more than the notice before, kind, at (ms), fields: JSON }; the
--                    last NOTICES_LIMIT of them, or a few more. A number that is skipped tells that notices were missed
--   told     hash    number: how many notices there were; {kind}:{what}: when one of them was last written (ms)
-- Nothing here fails a script: another program's key under these names must not stop what the script is for. A notice
-- that cannot be written is lost, and so is one of a script that the store never finished.

local NOTICES_LIMIT = 5000
local NOTICE_VERSION = 1
local FRESH_MS = 3600000  -- a reason for which nothing has failed for so long is told again
local SELDOM_MS = 60000   -- no sooner is a notice of the same kind about the same thing written again
local RUN_MS = 600000     -- rejected events of one run are told no sooner again

local function next_number()
  local number = redis.pcall('HINCRBY', P .. 'told', 'number', 1)
  if type(number) == 'number' then return number end
  redis.pcall('HSET', P .. 'told', 'number', 1)  -- it was spoilt: the count begins anew
  return 1
end

local function notice(kind, fields)
  local readable, text = pcall(cjson.encode, fields)
  redis.pcall('XADD', P .. 'notices', 'MAXLEN', '~', NOTICES_LIMIT, '*', 'v', NOTICE_VERSION, 'number', next_number(),
    'kind', kind, 'at', string.format('%.0f', NOW), 'fields', readable and text or '{}')
end

-- Whether a notice of this kind about this thing is written: not when the last one is younger than `pause` (ms).
local function is_news(kind, what, pause)
  local field = kind .. ':' .. what
  local last = tonumber((redis.pcall('HGET', P .. 'told', field))) or 0
  if math.abs(NOW - last) < pause then return false end
  redis.pcall('HSET', P .. 'told', field, string.format('%.0f', NOW))
  return true
end

-- A closure is about to fail, for `reason`. Told when none has for an hour, or none stands failed for it any more.
local function notice_failure(ref, reason)
  local newest = tonumber(redis.call('ZRANGE', P .. 'failed:' .. reason, -1, -1, 'WITHSCORES')[2])
  if newest and math.abs(NOW - newest) < FRESH_MS then return end
  if is_news('failure', reason, SELDOM_MS) then notice('failure', { reason = reason, reference = ref }) end
end

-- An event was kept as rejected, under `id`. The first is told, and while more come, one in every ten minutes.
local function notice_rejected(id, problem, event_type)
  if not is_news('rejected', '', RUN_MS) then return end
  if problem and #problem > 300 then problem = nil end  -- cut, it might end in the middle of a character
  notice('rejected', { id = id, problem = problem, type = event_type, waiting = redis.call('XLEN', P .. 'rejected') })
end
