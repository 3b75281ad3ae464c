-- Makes queued closures due at once, because their task message was not sent or will not be worked on.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3..]  references
-- Returns    OK

expect('zset', { 'agenda', 'dispatched' })
for i = 3, #ARGV do
  if redis.call('ZREM', P .. 'dispatched', ARGV[i]) == 1 then redis.call('ZADD', P .. 'agenda', 'XX', NOW, ARGV[i]) end
end
return redis.status_reply('OK')
