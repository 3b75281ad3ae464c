-- Takes closures that someone must look at now, so that the caller names them in task messages. Each goes back onto the
-- agenda before it is returned, for the time at which its message counts as lost. So a crash after this call repeats work,
-- but never loses it.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  most references to take now
-- ARGV[4]  after how long a message counts as lost (ms)
-- ARGV[5]  the most references that may be in task messages on their way, in the whole fleet
-- ARGV[6]  the name of the caller's key, see lib/keys.lua
-- Returns  { ms until the next one is due (-1: unknown, ask again when something has changed),
--           how many references were in messages on their way before this call,
--           the word to this worker, see lib/keys.lua,
--           the reference that this worker is to attempt itself to probe its suspended key, or "",
--           references to be named in messages, … }

local limit, grace, most, key = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local QUEUED_AGAIN = 200

-- Counts entries up to now only: an entry of another program with a later time must not take up room for ever.
local on_their_way = redis.call('ZCOUNT', P .. 'dispatched', NOW - grace, NOW + JUMP)

-- How many closures may be named in messages now. While the gate is shut this is at most one: the probe of an outage, when
-- it is due. A worker whose key is accepted takes it.
local function room()
  if is_shut() then
    local probe = not no_probes() and not reasons.unauthorised and reasons.outage
    return probe and NOW >= probe.probe_at and 1 or 0
  end
  local free = most - on_their_way
  if gate.window then free = math.min(free, gate.window - on_their_way - in_flight()) end
  return math.min(free, limit)
end

-- Whether a closure whose record is gone or unreadable is named all the same. The worker then finds it unknown and receives
-- it anew, so it is not lost. It is not named if it had ended. It is not named either if only the agenda knows it, because
-- then nobody is known to have asked for it.
local function is_asked_for(ref, damaged)
  if has_ended(ref) or is_held(ref) then
    redis.call('ZREM', P .. 'agenda', ref)
  elseif damaged or #lists_of(ref) > 1 then
    return true
  else
    put_aside('agenda', ref)
  end
  return false
end

-- Whether a queued closure's time has come. If not, it goes back onto the agenda for then.
local function has_come(ref)
  local at = waits_until(ref)
  if at and at > NOW then
    wait_until(ref, at)
    return false
  end
  if at then redis.call('ZREM', P .. 'waiting', ref) end
  return true
end

-- Whether the closure is still to be done. Queues a retry, a closure whose lease ended, and one that its state's index has
-- lost. Puts aside a member that is not a reference.
local function look(ref)
  if not is_reference(ref) then
    put_aside('agenda', ref)
    return false
  end
  local held = is_held(ref)
  if not held and redis.call('ZSCORE', P .. 'queued', ref) then return has_come(ref) end
  local c, damaged = load(ref)
  if not c then return is_asked_for(ref, damaged) end
  if c.s == 'closing' then
    end_lease(ref, c)
  elseif c.s == 'retrying' or c.s == 'queued' then
    move(ref, c, 'queued', NOW)
    keep_held(ref, c)
  else
    redis.call('ZREM', P .. 'agenda', ref)
    return false
  end
  save(ref, c)
  return c.s == 'queued' and has_come(ref)
end

-- Takes up to `count` closures that are due; returns their references.
local function take(count)
  local refs = {}
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'agenda', '-inf', NOW, 'LIMIT', 0, count)) do
    if look(ref) then
      redis.call('ZADD', P .. 'agenda', NOW + grace, ref)
      redis.call('ZADD', P .. 'dispatched', NOW, ref)
      refs[#refs + 1] = ref
    end
  end
  return refs
end

local function probes(found, ref, most_ms)
  found.probe, found.probe_at = ref, NOW + found.every
  found.every = math.min(found.every * 2, most_ms)
end

-- A worker whose key is suspended takes no messages, so it gets its probe here.
local function key_probe()
  local mine = suspended[key]
  local may = mine and not no_probes() and (reasons.unauthorised or not reasons.outage) and NOW >= mine.probe_at
  local ref = may and take(1)[1]
  if not ref then return '' end
  probes(mine, ref, KEY_MOST)
  set_key(key, mine)
  return ref
end

-- Whether messages are worth their cost now. When more is due than there is room for, wait until a message can be filled well.
local function worth_it(free)
  if gate.shut_at then return free > 0 end
  local worth = math.min(limit, most / 2, gate.window and gate.window / 4 or limit)
  return free > 0 and (free >= worth or redis.call('ZCOUNT', P .. 'agenda', '-inf', NOW) <= free)
end

local function next_ms()
  local first = redis.call('ZRANGE', P .. 'agenda', 0, 0, 'WITHSCORES')
  local next_at = as_time(first[2])
  return next_at and math.max(0, math.ceil(next_at - NOW)) or -1
end

expect_indexes()
expect('stream', { 'rejected' })
queue_reconsidered(QUEUED_AGAIN)
local free = room()
local probe = key_probe()
local refs, wait = {}, -1
if worth_it(free) then
  refs = take(free)
  if gate.shut_at and refs[1] then
    probes(reasons.outage, refs[1], PROBE_MOST)
    stand('outage', reasons.outage)
  end
  wait = next_ms()
end
return { wait, on_their_way, word_to(key), probe, unpack(refs) }
