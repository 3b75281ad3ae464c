-- Deletes entries of the audit that an operator has exported. Nothing else shortens the audit.
-- KEYS, ARGV[1..2]  see lib/base.lua; audit  stream, see lib/audit.lua
-- ARGV[3]   id of this action's own announcement in the audit
-- ARGV[4]   how many of the ids that follow are actions; the others are what these came to
-- ARGV[5..] ids of entries
-- Returns   how many actions were there

expect('stream', { 'audit' })
local gone, actions = 0, 4 + ARGV[4]
for i = 5, #ARGV do
  local deleted = redis.call('XDEL', P .. 'audit', ARGV[i])
  if i <= actions then gone = gone + deleted end
end
audited(ARGV[3], gone, {})
return gone
