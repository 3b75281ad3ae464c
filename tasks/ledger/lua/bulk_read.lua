#!lua flags=no-writes
-- Reads bulk actions.
-- KEYS, ARGV[1..2]  see lib/base.lua; other keys  see lib/bulk.lua
-- Uses lib/bulk_verbs
-- ARGV[3]   newest: the last ARGV[4] actions, begun before the one with the id ARGV[5] ("": all)
--           named: those with the ids ARGV[4..]
--           owner: id and verb of the first open action that has the closure ARGV[4] among its items, and nothing else
--           free: the ids of those that nobody carries, and nothing else of them
-- Returns   for each: { id, how many items are left, its fields and values, … }; of one that is not there only its id

local LEASE_MOST = 60000  -- a longer lease is another clock's, and over (ms)

local function free()
  local ids, carried = {}, redis.call('ZRANGE', P .. 'actions:open', 0, -1, 'WITHSCORES')
  for i = 1, #carried, 2 do
    local till = tonumber(carried[i + 1])
    if till <= NOW or till > NOW + LEASE_MOST then ids[#ids + 1] = carried[i] end
  end
  return ids
end

local function described(id)
  local a = redis.call('TYPE', bulk.key(id)).ok == 'hash' and bulk.read(id)
  if not a then return { id } end
  return { id, redis.call('ZCARD', bulk.left(id, a)), unpack(redis.call('HGETALL', bulk.key(id))) }
end

local function newest()
  local place = ARGV[5] ~= '' and redis.call('ZREVRANK', P .. 'actions', ARGV[5])
  local first = place and place + 1 or 0
  return redis.call('ZREVRANGE', P .. 'actions', first, first + ARGV[4] - 1)
end

local function owner(ref)
  for _, id in ipairs(bulk.open_ids()) do
    local verb = redis.pcall('HGET', bulk.key(id), 'verb')
    local mine = type(verb) == 'string' and not bulk.SHARES[verb]
    if mine and type(redis.pcall('ZSCORE', bulk.key(id, 'items'), ref)) == 'string' then return { id, verb } end
  end
  return {}
end

if ARGV[3] == 'free' then return free() end
if ARGV[3] == 'owner' then return owner(ARGV[4]) end
local found = {}
for _, id in ipairs(ARGV[3] == 'newest' and newest() or { unpack(ARGV, 4) }) do found[#found + 1] = described(id) end
return found
