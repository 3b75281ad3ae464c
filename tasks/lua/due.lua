-- Takes closures that someone must look at now, to be named in task messages. Each is put back on the agenda for the
-- time at which its message is presumed lost, before it is returned: a crash after this repeats work, never loses it.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  most references to take now
-- ARGV[4]  after how long a message is presumed lost (ms)
-- ARGV[5]  most references that messages may be on their way for, in the whole fleet
-- Returns  { ms until the next one is due (-1: unknown, ask again when something has changed),
--           references that messages were on their way for before this call, reference, … }

local limit, grace, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

-- Up to now: a foreign entry of the future must not take up room for ever.
local on_their_way = redis.call('ZCOUNT', P .. 'dispatched', NOW - grace, NOW + JUMP)

local function room()
  if gate_reason() then
    return gate.probe_at and NOW >= tonumber(gate.probe_at) and 1 or 0
  end
  local free = most - on_their_way
  if gate.window then free = math.min(free, gate.window - on_their_way - in_flight()) end
  return math.min(free, limit)
end

-- Whether the closure is still to be done; a retry, or a lease that ended, is queued again, and so is one that its state's
-- index has lost. One whose record is gone or unreadable is named all the same, unless it had ended: the worker finds it
-- unknown and receives it anew, so it is not lost. What is not a reference is put aside.
local function look(ref)
  if not is_reference(ref) then
    put_aside('agenda', ref)
    return false
  end
  if redis.call('ZSCORE', P .. 'queued', ref) then return true end
  local c = load(ref)
  if not c and not has_ended(ref) then return true end
  if not c then
    redis.call('ZREM', P .. 'agenda', ref)
    return false
  elseif c.s == 'closing' then
    lose_lease(ref, c)
  elseif c.s == 'retrying' or c.s == 'queued' then
    move(ref, c, 'queued', NOW)
  else
    redis.call('ZREM', P .. 'agenda', ref)
    return false
  end
  save(ref, c)
  return true
end

local free = room()
-- Messages worth their cost: with more due than there is room for, wait until there is room for a good few.
local worth = math.min(limit, most / 2, gate.window and gate.window / 4 or limit)
if free <= 0 then return { -1, on_their_way } end
if not gate.shut and free < worth and redis.call('ZCOUNT', P .. 'agenda', '-inf', NOW) > free then
  return { -1, on_their_way }
end

local taken = { 0, on_their_way }
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'agenda', '-inf', NOW, 'LIMIT', 0, free)) do
  if look(ref) then
    redis.call('ZADD', P .. 'agenda', NOW + grace, ref)
    redis.call('ZADD', P .. 'dispatched', NOW, ref)
    taken[#taken + 1] = ref
  end
end
if gate.shut and taken[3] then
  gate_set('probe', taken[3])
  gate_set('probe_at', NOW + gate.every)
  gate_set('every', math.min(gate.every * 2, PROBE_MOST[gate.shut]))
end
local first = redis.call('ZRANGE', P .. 'agenda', 0, 0, 'WITHSCORES')
local next_at = as_time(first[2])
taken[1] = next_at and math.max(0, math.ceil(next_at - NOW)) or -1
return taken
