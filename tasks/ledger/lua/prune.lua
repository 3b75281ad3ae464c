-- Forgets closures that ended long ago: closed and discarded ones, never failed ones.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  how long they are kept (ms)    ARGV[4]  most to forget now
-- Returns  how many were forgotten

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
