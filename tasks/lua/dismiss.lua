-- Takes rejected events off their stream, because they were replayed or discarded.
-- KEYS, ARGV[1..2]  see lib/base.lua; rejected  stream, see reject.lua
-- ARGV[3]   id of the action's announcement in the audit
-- ARGV[4..] ids of rejected events
-- Returns   how many were there

local changed = 0
for i = 4, #ARGV do changed = changed + redis.call('XDEL', P .. 'rejected', ARGV[i]) end
local missing = #ARGV - 3 - changed
audited(ARGV[3], changed, { unknown = missing > 0 and missing or nil })
return changed
