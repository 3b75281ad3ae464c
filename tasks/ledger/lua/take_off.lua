#!lua flags=allow-oom
-- Acknowledges events that the ledger has, and takes them off their stream. It is allowed while the store is out of memory.
-- While other consumer groups read the stream, an entry stays until each of them has received and acknowledged it. The
-- script looks for other groups in the same step, so a new group loses nothing that comes after it was made.
-- KEYS[1], ARGV[1..2]  see lib/base.lua; shared  hash  stream → 1: entries were left on it for other groups
-- Uses lib/stream
-- KEYS[2]    the stream
-- ARGV[3]    our consumer group
-- ARGV[4..]  ids of entries; without any, only entries that no group needs any more are deleted
-- Returns    how many other groups there are

local stream, ours = KEYS[2], ARGV[3]
expect('hash', { 'shared' })
local ids = { unpack(ARGV, 4) }
if #ids > 0 then redis.call('XACK', stream, ours, unpack(ids)) end

local groups, own = consumer_groups(stream, ours)
local others = #groups - (own and 1 or 0)
local shared = redis.call('HEXISTS', P .. 'shared', stream) == 1
if others == 0 and #ids > 0 then redis.call('XDEL', stream, unpack(ids)) end
if others > 0 and not shared then redis.call('HSET', P .. 'shared', stream, 1) end
-- Without our group nobody knows what we have not read, so nothing is trimmed. The group is made again and reads from the start.
if own and (others > 0 or shared) and trim(stream, groups) and others == 0 then redis.call('HDEL', P .. 'shared', stream) end
return others
