-- Deletes closures that were closed or discarded long ago. Failed closures are never deleted.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  how long they are kept (ms)    ARGV[4]  the most to delete of each state now
-- Returns  how many were deleted

expect('zset', { 'closed', 'discarded' })
local forgotten = 0
for _, state in ipairs({ 'closed', 'discarded' }) do
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. state, '-inf', NOW - ARGV[3], 'LIMIT', 0, ARGV[4])) do
    redis.call('DEL', P .. 'c:' .. ref)
    redis.call('ZREM', P .. state, ref)
    forgotten = forgotten + 1
  end
end
count_closures(-forgotten)
return forgotten
