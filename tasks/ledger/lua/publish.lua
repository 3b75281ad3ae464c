-- Puts events on the stream that events come on, all of them or none.
-- KEYS[1], ARGV[1..2]  see lib/base.lua    KEYS[2]  the stream
-- ARGV[3..]  one event each, JSON
-- Returns    the ids of their entries, in order

local ids = {}
for i = 3, #ARGV do ids[#ids + 1] = redis.call('XADD', KEYS[2], '*', 'event', ARGV[i]) end
return ids
