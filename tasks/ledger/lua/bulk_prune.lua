-- Deletes bulk actions that ended long ago, and drafts that nobody began, a few items at a time.
-- KEYS, ARGV[1..2]  see lib/base.lua; other keys  see lib/bulk.lua
-- Uses lib/bulk_verbs
-- ARGV[3]  how long actions are kept after their end (ms)    ARGV[4]  the most items to delete of each now
-- Returns  how many actions, drafts and items were deleted

local DRAFT_MS = 900000  -- for so long a draft waits for its operator (ms)
local gone = 0

local function delete(id, index)
  local rest = 0
  for _, part in ipairs({ 'items', 'changed', 'not' }) do
    gone = gone + redis.call('ZREMRANGEBYRANK', bulk.key(id, part), 0, ARGV[4] - 1)
    rest = rest + redis.call('ZCARD', bulk.key(id, part))
  end
  if rest > 0 then return end
  redis.call('DEL', bulk.key(id))
  redis.call('ZREM', P .. 'actions', id)
  redis.call('ZREM', P .. index, id)
  gone = gone + 1
end

local function delete_before(index, at)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. index, '-inf', at, 'LIMIT', 0, 1)) do
    bulk.expect(id)
    delete(id, index)
  end
end

expect('zset', { 'actions', 'actions:ended', 'actions:drafts' })
delete_before('actions:ended', NOW - ARGV[3])
delete_before('actions:drafts', NOW - DRAFT_MS)
return gone
