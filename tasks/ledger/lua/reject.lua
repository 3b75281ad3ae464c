-- Keeps rejected events. Identical bytes are kept once and counted, see lib/letters.lua; a delivery is counted once.
-- KEYS[1], ARGV[1..2]  see lib/base.lua, lib/letters.lua
-- Uses lib/letters
--   rejected_once    zset    "delivery digest" → when it was put aside (ms), for the last ONCE_LIMIT of them
-- ARGV[3..]  seven for each event:
--   its bytes
--   the digest of its type and its bytes, hex
--   its problems, a JSON list
--   its origin: an entry's id, or words
--   the refused type, or ""
--   "delivery digest of the bytes", or "" where the delivery that brought it has no name. A crash before the
--   acknowledgement may bring it again
--   "1" when no other delivery can have that name. It is then not kept again when an operator has dealt with it. "" when
--   another may, because its sender has chosen the name: then it is not counted again, but kept
-- Returns    for each: its id, or "" when this delivery had been put aside before

local ONCE_LIMIT = 100000

local PORTION = 500  -- the events whose numbers are written in one command

-- What is to be written of a portion: digest → id, and id → { times, digest }.
local id_of, tally = {}, {}

local function known(delivery)
  return delivery ~= '' and redis.pcall('ZADD', P .. 'rejected_once', 'NX', NOW, delivery) == 0
end

-- The id of the entry that has these bytes; nil when there is none. A digest may lie, so the bytes are compared.
local function held(digest, bytes, event_type)
  local id = id_of[digest] or redis.pcall('HGET', same, digest)
  local entry = type(id) == 'string' and letter(id)
  if entry and field_of(entry, 'event') == bytes and (field_of(entry, 'type') or '') == event_type then return id end
end

local function count_again(id, digest)
  tally[id] = { (tally[id] and tally[id][1] or times_of(id)) + 1, digest }
  return id
end

local function keep_letter(bytes, problems, origin, event_type, digest)
  local fields = { 'event', bytes, 'problems', problems, 'origin', origin }
  if event_type ~= '' then
    fields[7], fields[8] = 'type', event_type
  end
  local id = redis.call('XADD', P .. 'rejected', '*', unpack(fields))
  id_of[digest], tally[id] = id, { 1, digest }
  return id
end

-- Writes what is to be written, each hash in one command: one for each event made rejecting dearer by a third.
local function write_down()
  local digests, counts = {}, {}
  for digest, id in pairs(id_of) do digests[#digests + 1], digests[#digests + 2] = digest, id end
  for id, one in pairs(tally) do
    counts[#counts + 1], counts[#counts + 2] = id, string.format('%d|%.0f|%s', one[1], NOW, one[2])
  end
  if digests[1] then redis.pcall('HSET', same, unpack(digests)) end
  if counts[1] then redis.pcall('HSET', came, unpack(counts)) end
  id_of, tally = {}, {}
end

local new, told = 0, nil  -- how many events were counted, and what a notice says of the first

local function reject(bytes, digest, problems, origin, event_type, delivery, unique)
  local before = known(delivery)
  if before and unique == '1' then return '' end
  local id = held(digest, bytes, event_type)
  if before and id then return '' end
  id = id and count_again(id, digest) or keep_letter(bytes, problems, origin, event_type, digest)
  count_type(event_type, 1)
  tallies.add('events:' .. (string.find(origin, '^task') and 'task' or 'stream') .. ':rejected')
  new, told = new + 1, told or { id, problems, event_type }
  return id
end

expect('stream', { 'rejected' })
local ids = {}
for i = 3, #ARGV, 7 do
  ids[#ids + 1] = reject(unpack(ARGV, i, i + 6))
  if #ids % PORTION == 0 then write_down() end
end
write_down()
redis.pcall('ZREMRANGEBYRANK', P .. 'rejected_once', 0, -ONCE_LIMIT - 1)
if told then
  pcall(function() notice_rejected(told[1], cjson.decode(told[2])[1], told[3] ~= '' and told[3] or nil) end)
  count_rejected(new)
end
return ids
