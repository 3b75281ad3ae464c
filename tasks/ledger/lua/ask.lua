-- Takes held groups whose last attempt ended without a word, so that the caller asks the API for their state. Each goes back
-- for later before it is returned, so a crash after this call repeats a question and loses none.
-- KEYS, ARGV[1..2]  see lib/base.lua; ask  zset  the groups to ask for, by when (ms)
-- ARGV[3]  most groups to take    ARGV[4]  after how long a group is asked for again (ms)
-- Returns  references

expect('zset', { 'ask' })
local refs = redis.call('ZRANGEBYSCORE', P .. 'ask', '-inf', NOW, 'LIMIT', 0, ARGV[3])
for _, ref in ipairs(refs) do redis.call('ZADD', P .. 'ask', NOW + ARGV[4], ref) end
return refs
