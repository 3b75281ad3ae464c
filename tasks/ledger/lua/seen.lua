-- Remembers which types of events have come, accepted or not.
-- KEYS, ARGV[1..2]  see lib/base.lua; seen_types  zset  type → when an event of it was last seen (ms)
-- ARGV[3..]  types
-- Returns    how many types were given
-- `redis.pcall`: if another program has overwritten the key, events are taken in all the same.

local DAY_MS = 86400000
local SEEN_LIMIT = 100
local seen = P .. 'seen_types'

for i = 3, #ARGV do redis.pcall('ZADD', seen, NOW, ARGV[i]) end
redis.pcall('ZREMRANGEBYSCORE', seen, '-inf', NOW - DAY_MS)
redis.pcall('ZREMRANGEBYRANK', seen, 0, -SEEN_LIMIT - 1)
return #ARGV - 2
