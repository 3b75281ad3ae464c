-- The stream that events come on, and the consumer groups that read it: ours, and perhaps those of other programs.

local COUNT_MOST = 10000  -- where the store does not know how many entries a group has not read, at most so many are counted
local TRIM_MOST = 10000

-- Every consumer group as { name, pending, lag (false: unknown), ['last-delivered-id'] }, and ours among them.
local function consumer_groups(stream, ours)
  if redis.call('EXISTS', stream) == 0 then return {}, nil end
  local groups, own = {}, nil
  for i, raw in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for j = 1, #raw, 2 do group[raw[j]] = raw[j + 1] end
    groups[i] = group
    if group.name == ours then own = group end
  end
  return groups, own
end

-- How many entries a group has still to read or acknowledge; a lower bound when COUNT_MOST is reached.
local function waiting(stream, group)
  local unread = group.lag or #redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', COUNT_MOST)
  return unread + group.pending
end

-- Whether entry id a comes before b. The ids do not fit into Lua's numbers, so this compares digits.
local function id_before(a, b)
  local function part(x, y) return #x < #y or #x == #y and x < y end
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  return part(a1, b1) or a1 == b1 and part(a2, b2)
end

-- The first id that some group still needs or has just read, and whether that entry itself is needed.
local function needed_from(stream, groups)
  local from, itself
  for _, group in ipairs(groups) do
    local pends = group.pending > 0
    local id = pends and redis.call('XPENDING', stream, group.name)[2] or group['last-delivered-id']
    if not from or id_before(id, from) then from, itself = id, pends elseif id == from then itself = itself or pends end
  end
  return from, itself
end

-- Deletes entries that every group has received and acknowledged, up to a limit. Returns whether none of them is left.
local function trim(stream, groups)
  local from, itself = needed_from(stream, groups)
  if not itself then redis.call('XDEL', stream, from) end
  -- Deleting whole blocks is cheap. The rest of the last block is small.
  if redis.call('XTRIM', stream, 'MINID', '~', from, 'LIMIT', TRIM_MOST) > 0 then return false end
  redis.call('XTRIM', stream, 'MINID', '=', from)
  return true
end
