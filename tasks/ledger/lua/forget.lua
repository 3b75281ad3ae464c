-- Deletes rejected events that last came long ago. It looks at a page of them, and is called again until it is at the end.
-- KEYS, ARGV[1..2]  see lib/base.lua, lib/letters.lua
-- Uses lib/letters
-- ARGV[3]  how long they are kept (ms)
-- ARGV[4]  the id to begin at, "(id" to begin after it, as the call before returned it
-- ARGV[5]  id of this round's entry in the audit, "" for none yet; it is made when there is something to delete
-- ARGV[6]  why, for the audit
-- Returns  { how many were deleted, where the next call begins ("": this was the end), the entry's id or "" }

local MOST = 200
local old, forgotten, from = NOW - ARGV[3], 0, ''

local function look_at_letter(entry)
  from = '(' .. entry[1]
  local _, last = times_of(entry[1])
  if (last or tonumber(string.match(entry[1], '^%d+'))) < old and take_letter_off(entry) then forgotten = forgotten + 1 end
end

local function announced()
  if ARGV[5] ~= '' or forgotten == 0 then return ARGV[5] end
  return redis.call('XADD', P .. 'audit', '*', 'by', 'closer', 'action', 'forget rejected', 'matched', 0, 'why', ARGV[6])
end

expect('stream', { 'rejected', 'audit' })
each_entry('XRANGE', P .. 'rejected', ARGV[4], string.format('%.0f', math.max(old, 0)), MOST, look_at_letter)
sweep_letters()
local id = announced()
if forgotten > 0 then audited(id, forgotten, {}) end
return { forgotten, from, id }
