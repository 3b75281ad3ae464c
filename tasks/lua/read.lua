#!lua flags=no-writes
-- Reads closures; also where the store is full or a replica: that is when operators look.
-- KEYS, ARGV[1..2]  see lib.lua
-- ARGV[3..]  references
-- Returns    for each: { record (JSON), when it entered its state (ms), its time on the agenda (ms) or "" }, or {}

local found = {}
for i = 3, #ARGV do
  local ref = ARGV[i]
  local c = load(ref)
  found[#found + 1] = c and {
    redis.call('GET', P .. 'c:' .. ref),
    redis.call('ZSCORE', P .. c.s, ref) or NOW,
    redis.call('ZSCORE', P .. 'agenda', ref) or '',
  } or {}
end
return found
