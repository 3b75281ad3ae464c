#!lua flags=no-writes
-- Reads entries of one of the ledger's own streams. A page ends early when it is full, see lib/letters.lua.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/letters
-- ARGV[3]  the stream's name without the prefix
-- ARGV[4]  oldest or newest: which entry comes first
-- ARGV[5]  the id to begin at, "(id" to begin after it    ARGV[6]  the id to end at    ARGV[7]  the most entries
-- Returns  entries, each { id, { field, value, … } }; none only where there are no more

local command = ARGV[4] == 'oldest' and 'XRANGE' or 'XREVRANGE'
local found = {}
expect('stream', { ARGV[3] })
each_entry(command, P .. ARGV[3], ARGV[5], ARGV[6], tonumber(ARGV[7]), function(entry) found[#found + 1] = entry end)
return found
