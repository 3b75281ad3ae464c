-- Rejected events ("dead letters"). Identical bytes are kept once. What is in the ledger of an event that was rejected:
--   rejected        stream  an entry for each: event (the bytes), problems (JSON list), origin, and type where that was
--                           refused. The entry's id is the rejected event's, and tells when it came first
--   rejected_same   hash    digest of the type and the bytes → id of the entry that has them
--   rejected_times  hash    id → "times|last|digest": how often such an event came, when last (ms), and its digest; absent
--                           where an older closer has kept it, which did not count
--   waiting_types   hash    refused type → how many such events came; "" counts those of all further types
-- Only the stream is needed to keep an event. Another program, or a closer of the release before, may have changed the
-- stream or a hash alone. So each use of a hash is a `pcall`, and the stream decides whether an event is there.

local TYPES_LIMIT = 100
local PAGE_BYTES = 1048576  -- about the most bytes of entries that one step reads
local STRIDE = 20           -- entries that are read at a time, so that little more than that is ever held

local types, same, came = P .. 'waiting_types', P .. 'rejected_same', P .. 'rejected_times'

-- How many bytes an entry has; 0 for none.
local function size_of(entry)
  local bytes = 0
  for _, text in ipairs(entry and entry[2] or {}) do bytes = bytes + #text end
  return bytes
end

-- Calls `visit` with each entry of a stream from one id to another, at most `most`. Ends early when a page is full.
local function each_entry(command, stream, from, to, most, visit)
  local bytes = 0
  repeat
    local some = redis.call(command, stream, from, to, 'COUNT', math.min(STRIDE, most))
    for _, entry in ipairs(some) do
      bytes = bytes + size_of(entry)
      visit(entry)
    end
    most = most - #some
    from = some[1] and '(' .. some[#some][1]
  until not from or most <= 0 or bytes >= PAGE_BYTES
end

local function field_of(entry, name)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == name then return entry[2][i + 1] end
  end
end

-- The entry with this id; nil when there is none.
local function letter(id)
  local found = redis.pcall('XRANGE', P .. 'rejected', id, id)
  return found[1]
end

-- How often an event like this one came, when last (ms), and its digest; the last two are nil where that is not known.
local function times_of(id)
  local held = redis.pcall('HGET', came, id)
  local times, last, digest = string.match(type(held) == 'string' and held or '', '^(%d+)|(%d+)|(%x+)$')
  return tonumber(times) or 1, as_time(last), digest
end

-- Counts events of a refused type. A type that comes when the limit of types is reached is counted under "".
local function count_type(event_type, number)
  if event_type == '' then return end
  pcall(function()
    local known = redis.call('HEXISTS', types, event_type) == 1
    if not known and (number < 0 or redis.call('HLEN', types) >= TYPES_LIMIT) then event_type = '' end
    if redis.call('HINCRBY', types, event_type, number) <= 0 then redis.call('HDEL', types, event_type) end
  end)
end

-- Takes a rejected event off, and all that is known of it. Returns whether it was there.
local function take_letter_off(entry)
  local id, event_type = entry[1], field_of(entry, 'type') or ''
  if redis.call('XDEL', P .. 'rejected', id) == 0 then return false end
  local times, _, digest = times_of(id)
  if digest and redis.pcall('HGET', same, digest) == id then redis.pcall('HDEL', same, digest) end
  redis.pcall('HDEL', came, id)
  count_type(event_type, -times)
  return true
end

-- When no rejected event is left, nothing else may be, whatever an older closer has forgotten to take off.
local function sweep_letters()
  if redis.call('XLEN', P .. 'rejected') == 0 then redis.call('DEL', types, same, came) end
end
