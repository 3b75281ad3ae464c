-- Corrects closures whose state differs from what the API says of their groups. One call handles a whole chunk in one step.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/cancel, lib/reconciling
-- ARGV[3]   id of the action's announcement in the audit, "" for none
-- ARGV[4]   for the audit: how many groups of this chunk agree or have an unknown state, JSON {why: n}
-- ARGV[5..] three for each group: its reference, "closed" or "open", and when the closure had entered the state that it was
--           in when the API was asked (ms). A closure that has moved on since is left alone
-- Returns   for each: "done", "unknown", "agree", or "moved on"

expect_indexes()
expect('stream', { 'audit' })
local words, changed, skipped = {}, 0, cjson.decode(ARGV[4])
for i = 5, #ARGV, 3 do
  local word = reconciling.reconcile(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[3])
  words[#words + 1] = word
  if word == 'done' then changed = changed + 1 else skipped[word] = (skipped[word] or 0) + 1 end
end
audited(ARGV[3], changed, skipped)
return words
