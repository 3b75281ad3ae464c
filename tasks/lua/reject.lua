-- Puts an event that could not be parsed aside, and takes it off its stream, in one step.
-- KEYS[1], ARGV[1..2]  see lib/base.lua; rejected  stream  fields event (the bytes), problems (JSON list), origin
-- KEYS[2]  the stream it came from; absent when it came another way
-- ARGV[3]  the event's bytes    ARGV[4]  problems, a JSON list    ARGV[5]  origin (an entry's id, or in words)
-- ARGV[6]  the stream's consumer group
-- Returns  the id of the rejected event

local id = redis.call('XADD', P .. 'rejected', '*', 'event', ARGV[3], 'problems', ARGV[4], 'origin', ARGV[5])
if KEYS[2] then
  redis.call('XACK', KEYS[2], ARGV[6], ARGV[5])
  redis.call('XDEL', KEYS[2], ARGV[5])
end
return id
