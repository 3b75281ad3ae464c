-- Receives events. Each makes a new closure, or is a duplicate. A new event for a failed closure queues the closure again.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]    every failure reason, separated by spaces
-- ARGV[4]    where they came from, for the counts: stream, task or replay
-- ARGV[5..]  one event each, JSON: {ref, e, i, u, t, p} (record fields)
-- All events are read before the first is written, so the script does everything or nothing.
-- A closure whose record cannot be read is received anew, because only the API knows whether its group is closed.
-- Returns    for each event: new, requeued or duplicate

local EVENTS_LIMIT = 16
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

local function receive(event)
  local ref = event.ref
  local c, damaged = load(ref)
  if not c then
    if damaged then clear(ref) else come = come + 1 end  -- a lost record leaves index entries, which inspect.lua takes off
    event.ref = nil
    event.a = NOW
    event.d = open_clock() + span()
    move(ref, event, 'queued', NOW)
    save(ref, event)
    return 'new'
  end
  if c.s == 'closed' or c.s == 'discarded' or seen(c, event) then return 'duplicate' end
  remember(c, event)
  local failed = c.s == 'failed'
  if failed then queue_again(ref, c) end
  save(ref, c)
  return failed and 'requeued' or 'duplicate'
end

local TEXTS = { 'u', 't', 'p' }

local function read(raw)
  local event = cjson.decode(raw)
  local sound = type(event.ref) == 'string' and is_reference(event.ref) and type(event.e) == 'string' and type(event.i) == 'string'
  for _, name in ipairs(TEXTS) do sound = sound and (event[name] == nil or type(event[name]) == 'string') end
  return sound and event or error('this is not an event: ' .. string.sub(raw, 1, 200))
end

expect_indexes()
local received = {}
for i = 5, #ARGV do received[#received + 1] = read(ARGV[i]) end
if received[1] then tallies.event_came() end
for i, event in ipairs(received) do
  received[i] = receive(event)
  tallies.add('events:' .. ARGV[4] .. ':' .. received[i])
end
count_closures(come)
return received
