-- Requeues or discards failed closures for an operator. One call handles a whole chunk in one step.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/bulk_verbs
-- ARGV[3]   requeue or discard
-- ARGV[4]   trigger noted on the attempts that follow (requeue, bulk)
-- ARGV[5]   "1": lock the group before closing it, "" otherwise
-- ARGV[6]   id of the action's announcement in the audit, "" for none
-- ARGV[7..] references
-- Returns   for each: "done", or else "unknown", "unreadable" (its record is damaged) or the state it is in

local function operate(ref)
  local c, damaged = load(ref)
  if not c then return damaged and 'unreadable' or 'unknown' end
  if c.s ~= 'failed' then return c.s end
  if ARGV[3] == 'requeue' then
    bulk.requeue(ref, c, ARGV[4], ARGV[5] == '1')
  else
    bulk.discard(ref, c)
  end
  sign(c, ARGV[3], ARGV[6])
  save(ref, c)
  return 'done'
end

expect_indexes()
expect('stream', { 'audit' })
local words, changed, skipped = {}, 0, {}
for i = 7, #ARGV do
  local word = operate(ARGV[i])
  words[#words + 1] = word
  if word == 'done' then changed = changed + 1 else skipped[word] = (skipped[word] or 0) + 1 end
end
audited(ARGV[6], changed, skipped)
return words
