-- Takes rejected events that were replayed, exported or discarded off their stream.
-- KEYS, ARGV[1..2]  see lib/base.lua, lib/letters.lua
-- Uses lib/letters
-- ARGV[3]   id of the action's announcement in the audit
-- ARGV[4..] ids of rejected events
-- Returns   { how many of the ids were looked at, how many of those were on the stream }. It ends early after many bytes

expect('stream', { 'rejected', 'audit' })
local looked, changed, bytes = 0, 0, 0
for i = 4, #ARGV do
  local entry = letter(ARGV[i])
  if entry and take_letter_off(entry) then changed = changed + 1 end
  bytes = bytes + size_of(entry)
  looked = looked + 1
  if bytes >= PAGE_BYTES then break end
end
sweep_letters()
local missing = looked - changed
if looked > 0 then audited(ARGV[3], changed, { unknown = missing > 0 and missing or nil }) end
return { looked, changed }
