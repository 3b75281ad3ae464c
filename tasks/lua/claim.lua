-- Claims closures for one worker: each is leased to it until its lease ends, and counted as in flight.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]   the lease (ms), long enough for one attempt
-- ARGV[4]   the pause between two calls of the whole fleet under the rate limit (ms, 0: no limit)
-- ARGV[5]   the worker's name    ARGV[6]  the address of the API that it calls, "": it does not say
-- ARGV[7..] references
-- Returns   for each: { "claimed", lease number, failures, not-founds, ms to its deadline, ms to wait before the call,
--           the time (ms), trigger, 1 when it must be locked first, custom reference, traceparent, for how long it had
--           been on its way (ms; "": it was not) }
--           or { "unknown" }, { "unreadable" } (its record is damaged), { "later" } (the gate does not let it through),
--           { "no" } (nothing to do now)
--           or only { { "foreign", address } }: the ledger is for the API at this address, see policy.lua

local api = redis.call('HGET', P .. 'policy', 'api')
if api and ARGV[6] ~= '' and api ~= ARGV[6] then return { { 'foreign', api } } end

local lease, pause, worker = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local shut = gate_reason()
local free = gate.window and gate.window - in_flight() or math.huge

-- The generic cell rate algorithm: reserves the next slot, returns the ms until then.
local function slot()
  if pause <= 0 then return 0 end
  local at = math.max(NOW, tonumber(gate.tat or 0))
  gate.tat = at + pause
  return at - NOW
end

local function put_back(ref)
  redis.call('ZADD', P .. 'agenda', NOW, ref)
  redis.call('ZREM', P .. 'dispatched', ref)
  return { 'later' }
end

local function is_due(ref)
  return tonumber(redis.call('ZSCORE', P .. 'agenda', ref) or 0) <= NOW
end

local function claim(ref)
  local c, raw = load(ref)
  if not c then return { raw and 'unreadable' or 'unknown' } end
  if c.s == 'closing' and is_due(ref) then
    lose_lease(ref, c)
    save(ref, c)
  end
  if not (c.s == 'queued' or (c.s == 'retrying' and is_due(ref))) then return { 'no' } end
  if shut and gate.probe ~= ref or not shut and free < 1 then return c.s == 'queued' and put_back(ref) or { 'no' } end
  free = free - 1
  local wait = slot()
  local sent = redis.call('ZSCORE', P .. 'dispatched', ref)
  c.x = (c.x or 0) + 1
  c.w = worker
  move(ref, c, 'closing', NOW + wait + lease)
  save(ref, c)
  return { 'claimed', c.x, c.k or 0, c.m or 0, math.floor(c.d - open_clock()), math.ceil(wait), NOW, c.g or '', c.l or 0,
    c.u or '', c.p or '', sent and math.floor(NOW - sent) or '' }
end

local claims = {}
for i = 7, #ARGV do claims[#claims + 1] = claim(ARGV[i]) end
if pause > 0 and gate.tat then gate_set('tat', tonumber(gate.tat)) end
return claims
