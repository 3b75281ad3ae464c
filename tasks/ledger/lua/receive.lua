-- Receives events. Each makes a new closure, or is a duplicate. A new event for a failed closure queues the closure again,
-- and one for a held group is remembered until its release. A cancel event holds its group, see lib/cancel.lua.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/cancel, lib/holding, lib/inspection
-- ARGV[3]    every failure reason, separated by spaces
-- ARGV[4]    where they came from, for the counts: stream, task or replay
-- ARGV[5..]  one event each, JSON: {ref, e, i, u, t, p, b} (record fields), tm: its time (ms), cancel: 1 for a cancel event
-- All events are read before the first is written, so the script does everything or nothing.
-- A closure whose record cannot be read is received anew, because only the API knows whether its group is closed.
-- Returns    for each event: new, requeued, duplicate, held or released (it has ended a hold that events had made); or nothing
--            was written: "too far" (its time, `b`, is more than AHEAD_MOST ahead), or "older workers" (some are alive, and
--            would not wait for its time).
--            For a cancel event: cancelled (its group is held, once the attempt under way has ended), "too late" (it is
--            closed), outdated (a complete event of the same source is later), discarded or duplicate: nothing was done; or
--            "cancel refused": workers of an older release are alive that would not respect it

local EVENTS_LIMIT = 16
local AHEAD_MOST = 30 * 86400000
local DELAY = fleet('close_delay_ms', 0)
local older  -- the workers that would not wait for an event's time; nil: not looked up yet
local FAILED_REASONS = ARGV[3]
local come = 0  -- how many of these closures had no record before
local told = { ['cancelled'] = {}, ['too late'] = {} }  -- the cancel events that people are told of

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
  cancel.confirm(ref, c)
  cancel.remember_time(c, c)
  c.ref, c.tm = nil, nil
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
  if c.A then bulk.event_came(ref, c) end
  local failed = c.s == 'failed'
  if event.b then postpone(ref, c, event.b) end
  local freed = cancel.confirm(ref, event)
  cancel.remember_time(c, event)
  if c.s == 'held' and (freed or c.j ~= 'queued') then
    ask_for(ref, c, event)
    if freed then take_off_hold(ref, c) end
  elseif failed then
    begin_delay(c)
    queue_again(ref, c)
  end
  save(ref, c)
  return freed and 'released' or c.s == 'held' and 'held' or failed and 'requeued' or 'duplicate'
end

-- Holds a group that has no record, or a damaged one.
local function cancel_unknown(event, damaged)
  local hold = cancel.add(hold_of(event.ref), event)
  cancel.remember(event)
  if is_held(event.ref) then
    write_hold(event.ref, hold)
    return 'cancelled'
  end
  local c = holding.unknown(event.ref, damaged, hold)
  if c then
    come = come + 1
    cancel.note(c, event, 'cancelled')
    save(event.ref, c)
  end
  return 'cancelled'
end

local function what_cancel_does(c, event)
  if cancel.outdated(c, event) then return 'outdated' end
  return c.s == 'closed' and 'too late' or c.s == 'discarded' and 'discarded' or 'cancelled'
end

local function cancel_known(c, event)
  local word = what_cancel_does(c, event)
  if word == 'cancelled' then
    write_hold(event.ref, cancel.add(hold_of(event.ref), event))
    holding.known(event.ref, c)
    if c.j == 'none' then cancel.remember(event) end
  end
  cancel.note(c, event, word)
  save(event.ref, c)
  return word
end

local function receive_cancel(event)
  older = older or workers_before(VERSION)
  if #older > 0 then return 'cancel refused' end
  local c, damaged = load(event.ref)
  if cancel.seen(c, event) then return 'duplicate' end
  local word
  if c then word = cancel_known(c, event) else word = cancel_unknown(event, damaged) end
  if told[word] then table.insert(told[word], event) end
  return word
end

local function tell()
  local held, late = told['cancelled'], told['too late']
  if held[1] then rise() end
  if held[1] and is_news('held', 'event', SELDOM_MS) then
    notice('held', { by = 'a cancel event of ' .. held[1].e, why = 'event ' .. held[1].i, groups = #held, reference = held[1].ref })
  end
  for _, event in ipairs(late) do cancel.count_late(event.ref) end
  if late[1] then
    local ref = late[1].ref
    cancel.notice_late(ref, late[1], as_time(redis.call('ZSCORE', P .. 'closed', ref)), #late)
  end
end

local function receive(event)
  if event.cancel then return receive_cancel(event) end
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
local cancels_come  -- whether there are cancel events among them

local function read(raw)
  local event = cjson.decode(raw)
  local sound = type(event.ref) == 'string' and is_reference(event.ref) and type(event.e) == 'string' and type(event.i) == 'string'
  for _, name in ipairs(TEXTS) do sound = sound and (event[name] == nil or type(event[name]) == 'string') end
  for _, name in ipairs({ 'b', 'tm', 'cancel' }) do sound = sound and (event[name] == nil or is(event[name], 'number')) end
  if sound and event.tm and event.tm >= cancel.NEVER then event.tm = nil end
  cancels_come = cancels_come or event.cancel
  return sound and event or error('this is not an event: ' .. string.sub(raw, 1, 200))
end

local REFUSED = { ['too far'] = true, ['older workers'] = true, ['cancel refused'] = true }

expect_indexes()
local received = {}
for i = 5, #ARGV do received[#received + 1] = read(ARGV[i]) end
if cancels_come then expect('zset', { 'cancels' }) end
if received[1] then tallies.event_came() end
for i, event in ipairs(received) do
  local word = receive(event)
  if not REFUSED[word] then tallies.add('events:' .. ARGV[4] .. ':' .. word) end  -- the caller rejects it, which counts it
  received[i] = word
end
count_closures(come)
tell()
return received
