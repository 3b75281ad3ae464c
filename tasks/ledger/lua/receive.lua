-- Receives events. Each makes a new closure, or is a duplicate. A new event for a failed closure queues the closure again,
-- and one for a held group is remembered until its release.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]    every failure reason, separated by spaces
-- ARGV[4]    where they came from, for the counts: stream, task or replay
-- ARGV[5..]  one event each, JSON: {ref, e, i, u, t, p, b} (record fields)
-- All events are read before the first is written, so the script does everything or nothing.
-- A closure whose record cannot be read is received anew, because only the API knows whether its group is closed.
-- Returns    for each event: new, requeued, duplicate or held; or nothing was written: "too far" (its time, `b`, is more
--            than AHEAD_MOST ahead), or "older workers" (some are alive, and would not wait for its time)

local EVENTS_LIMIT = 16
local AHEAD_MOST = 30 * 86400000
local DELAY = fleet('close_delay_ms', 0)
local older  -- the workers that would not wait for an event's time; nil: not looked up yet
local FAILED_REASONS = ARGV[3]
local come = 0  -- how many of these closures had no record before

local function seen(c, event)
  if c.e == event.e and c.i == event.i then return true end
  for _, identity in ipairs(c.v or {}) do
    if identity == event.e .. '\n' .. event.i then return true end
  end
  return false
end

local function remember(c, event)
  c.v = c.v or {}
  c.v[#c.v + 1] = event.e .. '\n' .. event.i
  if #c.v > EVENTS_LIMIT then table.remove(c.v, 1) end
end

-- Takes the closure off every index. A record that is damaged does not tell which of them hold it.
local function clear(ref)
  for state in pairs(NEEDED) do redis.call('ZREM', P .. state, ref) end
  for reason in string.gmatch(FAILED_REASONS, '%S+') do redis.call('ZREM', P .. 'failed:' .. reason, ref) end
  redis.call('ZREM', P .. 'dispatched', ref)
end

-- The delay before the first attempt begins.
local function begin_delay(c)
  c.z = DELAY > 0 and NOW - moved_so_far() + DELAY or nil
end

local function receive_new(ref, c, damaged)
  -- A lost record leaves index entries, which inspect.lua takes off.
  if redis.call('ZSCORE', P .. 'held', ref) and not is_held(ref) then restore_hold(ref) end
  if damaged then clear(ref) else come = come + 1 end
  c.ref = nil
  c.a = NOW
  begin_delay(c)
  queue_again(ref, c)
  keep_held(ref, c)
  save(ref, c)
  return c.s == 'held' and 'held' or 'new'
end

-- The later of two times counts. The deadline counts from then.
local function postpone(ref, c, till)
  local before = must_wait(c)
  c.b = math.max(c.b or 0, till)
  local more = must_wait(c) - before
  if c.s == 'held' or more <= 0 then return end
  c.d = c.d and c.d + more
  if c.s ~= 'closing' and c.s ~= 'failed' then move(ref, c, 'queued', NOW) end
end

-- A held closure is taken from `queued` from now on, because of this event.
local function ask_for(ref, c, event)
  if c.j == 'none' then
    c.e, c.i, c.u, c.t, c.p, c.a = event.e, event.i, event.u, event.t, event.p, NOW
  end
  begin_delay(c)
  c.k, c.m, c.g, c.f, c.r, c.ja = nil, nil, nil, nil, nil, nil
  c.j, c.jd = 'queued', span()
  note_from(ref, 'queued')
end

local function receive_known(ref, c, event)
  if c.s == 'closed' or c.s == 'discarded' or seen(c, event) then return 'duplicate' end
  if c.j ~= 'none' then remember(c, event) end
  local failed = c.s == 'failed'
  if event.b then postpone(ref, c, event.b) end
  if c.s == 'held' and c.j ~= 'queued' then
    ask_for(ref, c, event)
  elseif failed then
    begin_delay(c)
    queue_again(ref, c)
  end
  save(ref, c)
  return c.s == 'held' and 'held' or failed and 'requeued' or 'duplicate'
end

local function receive(event)
  if event.b and event.b <= NOW then event.b = nil end
  if event.b and event.b > NOW + AHEAD_MOST then return 'too far' end
  if event.b then
    older = older or workers_before(VERSION)
    if #older > 0 then return 'older workers' end
  end
  local c, damaged = load(event.ref)
  if c then return receive_known(event.ref, c, event) end
  return receive_new(event.ref, event, damaged)
end

local TEXTS = { 'u', 't', 'p' }

local function read(raw)
  local event = cjson.decode(raw)
  local sound = type(event.ref) == 'string' and is_reference(event.ref) and type(event.e) == 'string' and type(event.i) == 'string'
  for _, name in ipairs(TEXTS) do sound = sound and (event[name] == nil or type(event[name]) == 'string') end
  sound = sound and (event.b == nil or is(event.b, 'number'))
  return sound and event or error('this is not an event: ' .. string.sub(raw, 1, 200))
end

local REFUSED = { ['too far'] = true, ['older workers'] = true }

expect_indexes()
local received = {}
for i = 5, #ARGV do received[#received + 1] = read(ARGV[i]) end
if received[1] then tallies.event_came() end
for i, event in ipairs(received) do
  local word = receive(event)
  if not REFUSED[word] then tallies.add('events:' .. ARGV[4] .. ':' .. word) end  -- the caller rejects it, which counts it
  received[i] = word
end
count_closures(come)
return received
