-- Writes into the audit what an operator is about to do, before anything changes.
-- KEYS, ARGV[1..2]  see lib/base.lua; audit  stream, see lib/audit.lua
-- ARGV[3..]  fields and values of the entry
-- Returns    the entry's id, under which the scripts that make the changes add them

expect('stream', { 'audit' })
for i = 3, #ARGV, 2 do
  if ARGV[i] == 'action' then tallies.add('actions:' .. ARGV[i + 1]) end
end
return redis.call('XADD', P .. 'audit', '*', unpack(ARGV, 3))
