#!lua flags=no-writes
-- Reads rejected events, with or without their bytes. A page ends early when it is full, see lib/letters.lua.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/letters
-- ARGV[3]  "1": with their bytes
-- ARGV[4]  oldest or newest: which comes first; or named
-- ARGV[5]  the id to begin at, "(id" to begin after it    ARGV[6]  the id to end at    ARGV[7]  the most
-- ARGV[5..]  for named: their ids
-- Returns  rejected events, each { id, how often it came, when last (ms), how many bytes it has (-1: no field `event`), its
--          fields and values }; none only where there are no more. Without bytes the field `event` is left out. For named:
--          one for each id until the page is full, {} where there is none with that id

local found = {}

local function fields_without(entry, name)
  local fields = {}
  for i = 1, #entry[2], 2 do
    if entry[2][i] ~= name then
      fields[#fields + 1] = entry[2][i]
      fields[#fields + 1] = entry[2][i + 1]
    end
  end
  return fields
end

local function add(entry)
  local times, last = times_of(entry[1])
  local fields = ARGV[3] == '1' and entry[2] or fields_without(entry, 'event')
  local event = field_of(entry, 'event')
  found[#found + 1] = { entry[1], times, last and string.format('%.0f', last) or '', event and #event or -1, fields }
end

local function add_named()
  local bytes = 0
  for i = 5, #ARGV do
    local entry = letter(ARGV[i])
    if entry then add(entry) else found[#found + 1] = {} end
    bytes = bytes + size_of(entry)
    if bytes >= PAGE_BYTES then return end
  end
end

expect('stream', { 'rejected' })
if ARGV[4] == 'named' then
  add_named()
else
  each_entry(ARGV[4] == 'oldest' and 'XRANGE' or 'XREVRANGE', P .. 'rejected', ARGV[5], ARGV[6], tonumber(ARGV[7]), add)
end
return found
