-- Keeps rejected events, each once, and counts those that wait until their type is accepted.
-- KEYS[1], ARGV[1..2]  see lib/base.lua
--   rejected         stream  fields event (the bytes), problems (JSON list), origin, and type where that was refused
--   rejected_once    zset    "origin digest" → when it was put aside (ms), for the last ONCE_LIMIT of them
--   waiting_types    hash    refused type → how many rejected events it has; "" counts all further types
-- ARGV[3..]  five for each event: its bytes, problems (a JSON list), origin (an entry's id, or words), the refused type or
--            "", and "origin digest" or "". The digest is given where a crash before the acknowledgement may bring the
--            same rejection again
-- Returns    for each: the id of the rejected event, or "" when it had been put aside before

-- `pcall` and `redis.pcall`: if another program has overwritten a key that only counts, the event is kept all the same.

local ONCE_LIMIT = 10000
local TYPES_LIMIT = 100

local function count(event_type)
  local types = P .. 'waiting_types'
  if redis.call('HEXISTS', types, event_type) == 0 and redis.call('HLEN', types) >= TYPES_LIMIT then event_type = '' end
  redis.call('HINCRBY', types, event_type, 1)
end

local function reject(bytes, problems, origin, event_type, once)
  if once ~= '' and redis.pcall('ZADD', P .. 'rejected_once', 'NX', NOW, once) == 0 then return '' end
  local fields = { 'event', bytes, 'problems', problems, 'origin', origin }
  if event_type ~= '' then
    fields[#fields + 1] = 'type'
    fields[#fields + 1] = event_type
    pcall(count, event_type)
  end
  local id = redis.call('XADD', P .. 'rejected', '*', unpack(fields))
  pcall(function() notice_rejected(id, cjson.decode(problems)[1], event_type ~= '' and event_type or nil) end)
  return id
end

expect('stream', { 'rejected' })
local ids = {}
for i = 3, #ARGV, 5 do ids[#ids + 1] = reject(unpack(ARGV, i, i + 4)) end
redis.pcall('ZREMRANGEBYRANK', P .. 'rejected_once', 0, -ONCE_LIMIT - 1)
return ids
