-- Deletes closures that were closed or discarded long ago, and what is remembered of old cancel events. Failed closures are
-- never deleted.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/cancel, lib/inspection
-- ARGV[3]  how long they are kept (ms)    ARGV[4]  the most to delete of each state now
-- Returns  how many were deleted

expect('zset', { 'closed', 'discarded', 'held', 'ask', 'cancels', 'cancelled', 'late' })
expect('hash', { 'holds' })
local OLD = cancel.steady() - cancel.KEEP
local forgotten, others = 0, 0

-- Forgets a group that only cancel events have named, the last of them long ago. Whoever holds it otherwise holds on.
local function forget_cancelled(ref)
  local hold, c = hold_of(ref), load(ref)
  if not (hold and cancel.made(hold) and (as_time(hold.till) or LATEST) <= cancel.steady()) then return end
  if not (c and c.s == 'held' and c.j == 'none') then return end
  redis.call('DEL', P .. 'c:' .. ref)
  redis.call('ZREM', P .. 'held', ref)
  drop_hold(ref)
  forgotten = forgotten + 1
end

for _, one in ipairs(redis.call('ZRANGEBYSCORE', P .. 'cancels', '-inf', OLD, 'LIMIT', 0, ARGV[4])) do
  redis.call('ZREM', P .. 'cancels', one)
  others = others + 1
  forget_cancelled(string.match(one, '^[^\n]*'))
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'late', '-inf', OLD, 'LIMIT', 0, ARGV[4])) do
  others = others + redis.call('ZREM', P .. 'late', ref)
end
for _, state in ipairs({ 'closed', 'discarded' }) do
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. state, '-inf', NOW - ARGV[3], 'LIMIT', 0, ARGV[4])) do
    redis.call('DEL', P .. 'c:' .. ref)
    redis.call('ZREM', P .. state, ref)
    forgotten = forgotten + 1
  end
end
count_closures(-forgotten)
return forgotten + others
