-- Who sends alerts, and how far: one notifier of the fleet holds a lease, and follows the notices with a cursor.
-- KEYS, ARGV[1..2]  see lib/base.lua
--   alerts  hash  holder: the notifier's name    until: when its lease ends (ms)    cursor: of the last notice that is done
--                 trouble:{what}: since when it stands (ms)    tenfold:{reason}: the last number of failures that was told
-- ARGV[3]  hold      ARGV[4] name  ARGV[5] the lease (ms): takes or renews the lease. The first ever begins at the newest
--                    notice. Returns { 1 or 0: another one holds it, the cursor }
--          done      ARGV[4] name  ARGV[5] the cursor of the notice that is done  ARGV[6] what became of it, for the counts;
--                    "": it is none that is sent. Returns { 1 or 0: the lease is lost, and nothing was written }
--          failed    a delivery failed, and will be tried again. Returns { 1 }
--          troubles  ARGV[4] name  ARGV[5] JSON { what: text } of those that stand. Each that begins or ends is told in a
--                    notice; so is the tenth failure that stands of a reason, the hundredth, and so on. Returns as `done`

local KEY = P .. 'alerts'
local VERB, NAME = ARGV[3], ARGV[4]
local FIRST = 10  -- failures of a reason

local function field(name)
  return redis.call('HGET', KEY, name) or nil
end

-- Whether nobody holds the lease, or this one does. A lease that ends too far ahead is from before the clock was set.
local function is_free(lease)
  local till = as_time(field('until'))
  return field('holder') == NAME or not till or till <= NOW or till > NOW + lease
end

local function newest_notice()
  local entry = redis.call('XREVRANGE', P .. 'notices', '+', '-', 'COUNT', 1)[1]
  if not entry then return '0-0/0' end
  local number = redis.pcall('HGET', P .. 'told', 'number')
  return entry[1] .. '/' .. (tonumber(number) and number or '0')
end

local function hold(lease)
  if not is_free(lease) then return { 0, '' } end
  redis.call('HSET', KEY, 'holder', NAME, 'until', string.format('%.0f', NOW + lease))
  if not field('cursor') then redis.call('HSET', KEY, 'cursor', newest_notice()) end
  return { 1, field('cursor') }
end

local function done(cursor, outcome)
  redis.call('HSET', KEY, 'cursor', cursor)
  if outcome ~= '' then tallies.add('alerts:' .. outcome) end
end

local function tell_troubles(standing)
  for what, text in pairs(standing) do
    if redis.call('HSETNX', KEY, 'trouble:' .. what, string.format('%.0f', NOW) .. ' ' .. text) == 1 then
      notice('trouble', { what = what, text = text })
    end
  end
  local held = redis.call('HGETALL', KEY)
  for i = 1, #held, 2 do
    local what = string.match(held[i], '^trouble:(.+)$')
    if what and not standing[what] then
      local since, text = string.match(held[i + 1], '^(%d+) (.*)$')
      redis.call('HDEL', KEY, held[i])
      notice('recovered', { what = what, text = text, lasted_ms = math.max(0, NOW - (as_time(since) or NOW)) })
    end
  end
end

local function tell_tenfold(reason)
  local count, told = redis.call('ZCARD', P .. 'failed:' .. reason), tonumber(field('tenfold:' .. reason)) or FIRST / 10
  local level = FIRST / 10
  while level * 10 <= count do level = level * 10 end
  if level > told then
    notice('failures_growing', { reason = reason, count = count })
    redis.call('HSET', KEY, 'tenfold:' .. reason, level)
  elseif count == 0 and told >= FIRST then
    redis.call('HDEL', KEY, 'tenfold:' .. reason)
  end
end

expect('hash', { 'alerts' })
expect('stream', { 'notices' })
if VERB == 'hold' then return hold(tonumber(ARGV[5])) end
if VERB == 'failed' then
  tallies.add('alerts:failed')
  return { 1 }
end
if field('holder') ~= NAME then return { 0 } end
if VERB == 'done' then
  done(ARGV[5], ARGV[6])
else
  tell_troubles(cjson.decode(ARGV[5]))
  for _, reason in ipairs(FAILURES) do tell_tenfold(reason) end
end
return { 1 }
