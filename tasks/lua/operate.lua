-- What operators do to failed closures, one step for a whole chunk.
-- KEYS, ARGV[1..2]  see lib.lua
-- ARGV[3]   requeue or discard
-- ARGV[4]   trigger noted on the attempts that follow (requeue, bulk)
-- ARGV[5]   "1": lock the group before closing it, "" otherwise
-- ARGV[6..] references
-- Returns   for each: "done", "unknown", or the state that it is in and that forbids it

local function operate(ref)
  local c = load(ref)
  if not c then return 'unknown' end
  if c.s ~= 'failed' then return c.s end
  if ARGV[3] == 'requeue' then
    queue_again(ref, c, ARGV[4])
    c.l = ARGV[5] == '1' and 1 or nil
  else
    move(ref, c, 'discarded')
  end
  save(ref, c)
  return 'done'
end

local done = {}
for i = 6, #ARGV do done[#done + 1] = operate(ARGV[i]) end
return done
