#!lua flags=allow-oom
-- Writes the results of attempts. It is allowed while the store is out of memory, because it ends work that has begun.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/cancel, lib/bulk_verbs
-- ARGV[3]    the name of the key that the calls were made with, see lib/keys.lua
-- ARGV[4]    "1" when some may have been written already by a call whose answer was lost; "" otherwise
-- ARGV[5..]  one settlement each, JSON: {ref, x (lease number), to (state), o, r, delay (ms), miss (1: a "not found"),
--            h (packed attempt, absent when no call was made), health, hold (ms the fleet must hold back),
--            told (1: the API said when, so not before)}
-- All settlements are read before the first is written, so the script does everything or nothing.
-- Returns    { the word to this worker, see lib/keys.lua; then for each: 1, or 0 when this worker had lost the lease and
--            nothing was written }

local KEY, AGAIN = ARGV[3], ARGV[4] == '1'
local OUTAGE_SHARE = 0.7      -- the moving share of failing calls above which the gate shuts
local OUTAGE_WEIGHT = 0.1     -- the weight of one call in that share; about twelve failures in a row shut the gate
local ILL_MOST = 64           -- the most groups that are remembered; the list must not grow for ever when a few calls always fail

-- Updates the moving share of calls that find the API ill. One group that keeps failing is not an outage, so each counts once.
local function breathe(ill_ref)
  local share = gate.bad or 0
  if not ill_ref then
    share = share * (1 - OUTAGE_WEIGHT)
  elseif gate_add('ill', ill_ref, ILL_MOST) then
    share = share * (1 - OUTAGE_WEIGHT) + OUTAGE_WEIGHT
  end
  if share < 0.01 then gate_set('ill', nil) end
  gate_set('bad', share >= 0.01 and share or nil)
  if share > OUTAGE_SHARE then shut_outage() end
end

-- The API has answered the probe. Whatever it said, the API can be reached, so the outage is over.
local function answered(ref)
  if reasons.outage and reasons.outage.probe == ref then open('outage') end
end

-- The API answers and accepts the key. Each such answer allows one more call in flight.
local function good(ref)
  if suspended[KEY] and suspended[KEY].probe == ref then
    lift(KEY, 'key_accepted')
    open('outage')
  end
  answered(ref)
  if gate.shut_at then return end
  if not suspended[KEY] then accepted(KEY) end
  if gate.bad then breathe() end
  if gate.window then
    gate_set('window', not gate.fresh and gate.window < WINDOW_MOST and gate.window + 1 or nil)
    gate_set('fresh', nil)
  end
end

-- Applies what the reply says about the API and the key. It counts even if the lease is lost.
local function feel(item)
  if item.hold then throttle(item.hold) end
  if item.health == 'unauthorised' then
    answered(item.ref)
    suspend(KEY, 'the API refuses it with 401')
  elseif item.health == 'forbidden' then
    answered(item.ref)
    forbid(item.ref, KEY)
  elseif item.health == 'good' then
    good(item.ref)
  elseif item.health == 'bad' and not gate.shut_at then
    breathe(item.ref)
  end
end

local function settle(item)
  feel(item)  -- this comes first, because opening the gate may queue this closure again
  local ref, c = item.ref, load(item.ref)
  local mine = c and c.s == 'closing' and c.x == item.x
  -- A closed group stays closed, so this counts even when the lease has ended and others have taken over or given up.
  local fact = c and item.to == 'closed' and c.s ~= 'closed'
  if not (mine or fact) then return 0 end
  if item.h then note(c, item.h) end
  if item.h and c.A then bulk.called(ref, c) end
  c.w = nil
  if item.to == 'closed' then
    close(ref, c, item.o)
  elseif item.to == 'failed' then
    c.k, c.m, c.g, c.l = nil, nil, nil, nil
    c.r = item.r
    move(ref, c, 'failed')
  elseif item.to == 'retrying' and reasons.outage and item.health == 'bad' and not item.told then
    move(ref, c, 'queued', NOW)
  elseif item.to == 'retrying' then
    if item.miss then c.m = (c.m or 0) + 1 else c.k = (c.k or 0) + 1 end
    move(ref, c, 'retrying', math.max(NOW + item.delay, not_before(c)))
  elseif c.Am then
    bulk.return_marked(ref, c)
  else
    move(ref, c, 'queued', NOW)
  end
  keep_held(ref, c)
  save(ref, c)
  return 1
end

-- Whether this attempt is in the history already. Then it must not count twice for the gate, or be reported as a lost lease.
local function is_written(item)
  local c = item.h and load(item.ref)
  return c and c.h and c.h[#c.h] == item.h
end

local KINDS = { ref = 'string', x = 'number', to = 'string', o = 'string', r = 'string', delay = 'number', miss = 'number',
  h = 'string', health = 'string', hold = 'number', told = 'number' }
local NEEDS = { queued = 'ref', retrying = 'delay', closed = 'o', failed = 'r' }

local function read(raw)
  local item = cjson.decode(raw)
  local sound = item.ref and item.x and NEEDS[item.to] and item[NEEDS[item.to]] and (not item.r or IS_FAILURE[item.r])
  for name, value in pairs(item) do
    local kind = KINDS[name]
    sound = sound and (not kind or type(value) == kind and (kind == 'string' or value >= 0 and value <= LATEST))
  end
  return sound and item or error('this is not a settlement: ' .. string.sub(raw, 1, 200))
end

expect_indexes()
expect('set', { 'reconsider', 'forbidden:' .. KEY })
local items, settled = {}, { false }
for i = 5, #ARGV do items[#items + 1] = read(ARGV[i]) end
is_shut()
for _, item in ipairs(items) do settled[#settled + 1] = AGAIN and is_written(item) and 1 or settle(item) end
settled[1] = word_to(KEY)
return settled
