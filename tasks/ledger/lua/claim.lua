-- Claims closures for one worker. Each is leased to it for a time, and counts as in flight meanwhile.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]   the lease (ms), long enough for one attempt
-- ARGV[4]   the pause between two calls of the whole fleet (ms, 0: no limit), where the fleet has no policy yet
-- ARGV[5]   the worker's name    ARGV[6]  its key's name, see lib/keys.lua
-- ARGV[7]   the address of the API that it calls; "" when it does not say
-- ARGV[8..] references
-- Returns   for each: { "claimed", JSON: lease (its number), failures, missing (how often it was not found), remaining_ms
--           (to its deadline), wait_ms (before the call), at_ms (now), received_ms (first event); and where there is one: trigger, lock_first (true:
--           it must be locked first), custom_reference, traceparent, sent_ms (for how long it had been on its way) }
--           or { "unknown" }, { "unreadable" } (its record is damaged), { "later" } (the gate does not let it through),
--           { "held" }, { "no" } (nothing to do now)
--           or only { { "foreign", address } } when the ledger is for the API at this other address, see policy.lua

expect_indexes()
local api = redis.call('HGET', P .. 'policy', 'api')
if api and ARGV[7] ~= '' and api ~= ARGV[7] then return { { 'foreign', api } } end

local lease, pause, worker, key = tonumber(ARGV[3]), fleet('pause_ms', ARGV[4]), ARGV[5], ARGV[6]
local shut_now, mine = is_shut(), suspended[key]
local free = gate.window and gate.window - in_flight() or math.huge

-- Whether the gate lets this closure through. An open gate lets any through; a shut one only the probe.
local function passes(ref)
  if no_probes() then return false end
  if mine then return mine.probe == ref end
  if shut_now then return not reasons.unauthorised and reasons.outage.probe == ref end
  return free >= 1
end

local function put_back(ref)
  redis.call('ZADD', P .. 'agenda', NOW, ref)
  redis.call('ZREM', P .. 'dispatched', ref)
  return { 'later' }
end

local function is_due(ref)
  local at = as_time(redis.call('ZSCORE', P .. 'agenda', ref))  -- nil: the agenda is lost; inspect.lua rebuilds it
  return at ~= nil and at <= NOW
end

local function claim(ref)
  local c, raw = load(ref)
  if not c then return { raw and 'unreadable' or 'unknown' } end
  if c.j == 'none' then return { 'unknown' } end  -- the message may be the only trace of somebody who asks for it
  if c.s == 'closing' and is_due(ref) then
    end_lease(ref, c)
    save(ref, c)
  end
  if c.s == 'held' or is_held(ref) then return { 'held' } end
  if not_before(c) > NOW then return { 'no' } end
  if not (c.s == 'queued' or (c.s == 'retrying' and is_due(ref))) then return { 'no' } end
  if not passes(ref) then return c.s == 'queued' and put_back(ref) or { 'no' } end
  free = free - 1
  local wait = next_slot(pause)
  local sent = redis.call('ZSCORE', P .. 'dispatched', ref)
  c.x = (c.x or 0) + 1
  c.w = worker
  move(ref, c, 'closing', NOW + wait + lease)
  save(ref, c)
  return { 'claimed', cjson.encode({
    lease = c.x, failures = c.k or 0, missing = c.m or 0, remaining_ms = math.floor(c.d - open_clock()),
    wait_ms = math.ceil(wait), at_ms = NOW, received_ms = c.a, trigger = c.g, lock_first = c.l == 1 or nil,
    custom_reference = c.u, traceparent = c.p, sent_ms = sent and math.floor(NOW - sent) or nil,
  }) }
end

local claims = {}
for i = 8, #ARGV do claims[#claims + 1] = claim(ARGV[i]) end
keep_slots()
return claims
