-- Takes rejected events that were replayed or discarded off their stream.
-- KEYS, ARGV[1..2]  see lib/base.lua; rejected  stream, waiting_types  hash, see reject.lua
-- ARGV[3]   id of the action's announcement in the audit
-- ARGV[4..] ids of rejected events
-- Returns   how many of them were on the stream

local types = P .. 'waiting_types'

local function type_of(id)
  local entry = redis.call('XRANGE', P .. 'rejected', id, id)[1]
  for i = 1, entry and #entry[2] or 0, 2 do
    if entry[2][i] == 'type' then return entry[2][i + 1] end
  end
end

-- A type that came when the limit of types was reached is counted under "".
local function uncount(event_type)
  if redis.call('HEXISTS', types, event_type) == 0 then event_type = '' end
  if redis.call('HINCRBY', types, event_type, -1) <= 0 then redis.call('HDEL', types, event_type) end
end

expect('stream', { 'rejected', 'audit' })
local changed = 0
for i = 4, #ARGV do
  local event_type = type_of(ARGV[i])
  local gone = redis.call('XDEL', P .. 'rejected', ARGV[i])
  if gone == 1 and event_type then pcall(uncount, event_type) end
  changed = changed + gone
end
if redis.call('XLEN', P .. 'rejected') == 0 then redis.call('DEL', types) end
local missing = #ARGV - 3 - changed
audited(ARGV[3], changed, { unknown = missing > 0 and missing or nil })
return changed
