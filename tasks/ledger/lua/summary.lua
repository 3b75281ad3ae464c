#!lua flags=no-writes
-- Counts what `closer status` shows.
-- KEYS[1], ARGV[1..2]  see lib/base.lua    KEYS[2]  the stream that events come on
-- Uses lib/cancel, lib/stream
-- ARGV[3]  failure reasons, separated by spaces    ARGV[4]  our consumer group on that stream
-- Returns  { counts, the gate (JSON, see lib/keys.lua), workers: what each said last, JSON (see heartbeat.lua) }; counts and
--          workers are flat lists, name, value, …; counts are: now (ms), each state, failed:{reason} where there is one,
--          closed in the last minute and hour, received (ms) of the oldest closure that is to be closed by now (absent:
--          none), waiting (queued, but their time has not come), held_long (held for more than a day), cancelled (held by events),
--          late (groups for which a cancel event came after they were closed, within a day), late:{ref} (the last of them,
--          and when, ms), rejected, backlog, waiting_type:{type} and seen_type:{type}, see lib/letters.lua and seen.lua

local LATE_SHOWN, LATELY = 5, cancel.steady() - 86400000
local counts = { 'now', string.format('%.0f', NOW) }
local function tell(name, number)
  counts[#counts + 1] = name
  counts[#counts + 1] = tostring(number)
end

for _, state in ipairs({ 'queued', 'closing', 'retrying', 'held', 'closed', 'failed', 'discarded' }) do
  tell(state, redis.call('ZCARD', P .. state))
end
for reason in string.gmatch(ARGV[3], '%S+') do
  local failed = redis.call('ZCARD', P .. 'failed:' .. reason)
  if failed > 0 then tell('failed:' .. reason, failed) end
end
tell('last_minute', redis.call('ZCOUNT', P .. 'closed', NOW - 60000, '+inf'))
tell('last_hour', redis.call('ZCOUNT', P .. 'closed', NOW - 3600000, '+inf'))
local oldest = redis.call('ZRANGE', P .. 'open', 0, 0, 'WITHSCORES')
if oldest[2] and tonumber(oldest[2]) <= NOW then tell('oldest_open', clamp(tonumber(oldest[2]))) end
tell('waiting', redis.call('ZCOUNT', P .. 'waiting', NOW, '+inf'))
tell('held_long', redis.call('ZCOUNT', P .. 'held', '-inf', NOW - 86400000))
tell('cancelled', redis.call('ZCARD', P .. 'cancelled'))
tell('late', redis.call('ZCOUNT', P .. 'late', LATELY, '+inf'))
local late = redis.call('ZRANGE', P .. 'late', -LATE_SHOWN, -1, 'WITHSCORES')
for i = #late - 1, 1, -2 do
  local at = as_time(late[i + 1])
  if is_reference(late[i]) and at and at >= LATELY then tell('late:' .. late[i], math.floor(at)) end
end
tell('rejected', redis.call('XLEN', P .. 'rejected'))

-- While other groups read the stream, entries stay there after we have taken them in. So the length is not the backlog.
local groups, own = consumer_groups(KEYS[2], ARGV[4])
tell('backlog', own and #groups > 1 and waiting(KEYS[2], own) or redis.call('XLEN', KEYS[2]))

-- Tells pairs of a name and a number. A value that is not a number was written by another program and is left out.
local function tell_all(beginning, pairs_)
  for i = 1, #pairs_, 2 do
    if string.match(pairs_[i + 1], '^%d+$') and #pairs_[i + 1] < 16 then tell(beginning .. pairs_[i], pairs_[i + 1]) end
  end
end
tell_all('waiting_type:', redis.call('HGETALL', P .. 'waiting_types'))
tell_all('seen_type:', redis.call('ZRANGE', P .. 'seen_types', 0, -1, 'WITHSCORES'))

return { counts, gate_view(), redis.call('HGETALL', P .. 'workers') }
