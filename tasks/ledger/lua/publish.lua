-- Puts events on the stream that events come on, all of them or none.
-- KEYS[1], ARGV[1..2]  see lib/base.lua    KEYS[2]  the stream
-- ARGV[3..]  one event each, JSON
-- Returns    how many there were

for i = 3, #ARGV do redis.call('XADD', KEYS[2], '*', 'event', ARGV[i]) end
return #ARGV - 2
