#!lua flags=no-writes
-- Reads entries of one of the ledger's own streams. The bytes of an entry may be many, so a page ends early when it is full.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  the stream's name without the prefix: audit or rejected
-- ARGV[4]  oldest or newest: which entry comes first
-- ARGV[5]  the id to begin at, "(id" to begin after it    ARGV[6]  the id to end at    ARGV[7]  the most entries
-- Returns  entries, each { id, { field, value, … } }; none only where there are no more

local PAGE_BYTES = 1048576
local STRIDE = 20  -- entries that are read at a time, so that little more than a full page is ever held

local command = ARGV[4] == 'oldest' and 'XRANGE' or 'XREVRANGE'
local from, most = ARGV[5], tonumber(ARGV[7])
local found, bytes = {}, 0

local function add(entry)
  found[#found + 1] = entry
  for _, text in ipairs(entry[2]) do bytes = bytes + #text end
end

expect('stream', { ARGV[3] })
repeat
  local some = redis.call(command, P .. ARGV[3], from, ARGV[6], 'COUNT', math.min(STRIDE, most - #found))
  for _, entry in ipairs(some) do add(entry) end
  from = some[1] and '(' .. some[#some][1]
until not from or #found >= most or bytes >= PAGE_BYTES
return found
