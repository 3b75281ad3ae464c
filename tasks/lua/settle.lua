#!lua flags=allow-oom
-- Writes down what attempts came to. Allowed while the store is out of memory: it is how the work in hand ends.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3..]  one settlement each, JSON: {ref, x (lease number), to (state), o, r, delay (ms), miss (1: a "not found"),
--            h (packed attempt, absent when no call was made), health, hold (ms the fleet must hold back),
--            told (1: the API said when, so not before)}
-- Returns    { since when the gate is shut now (ms), 0: it is open; then for each: 1, or 0 when the lease was no longer this
--            worker's and nothing was written }

local OUTAGE_SHARE = 0.7      -- the share of ill calls, moving, at which the gate shuts
local OUTAGE_WEIGHT = 0.1     -- what one call weighs in it: about twelve in a row shut the gate
local ILL_MOST = 64           -- how many groups are remembered: with 1 % of calls ill for ever it would grow for ever

-- The moving share of calls that find the API ill. One group that keeps failing is no outage: each counts once.
local function breathe(ill_ref)
  local share = tonumber(gate.bad or 0)
  if not ill_ref then
    share = share * (1 - OUTAGE_WEIGHT)
  elseif gate_add('ill', ill_ref, ILL_MOST) then
    share = share * (1 - OUTAGE_WEIGHT) + OUTAGE_WEIGHT
  end
  if share < 0.01 then gate_set('ill', nil) end
  gate_set('bad', share >= 0.01 and share or nil)
  if share > OUTAGE_SHARE then
    gate_shut('outage', 'most calls end in time-outs, cut connections or 5xx: the API is ill or cannot be reached', 'closer')
  end
end

local function forbid(ref)
  if (gate_add('forbidden', ref) or 0) >= FORBIDDEN_IN_A_ROW then
    gate_shut('unauthorised', 'group after group is refused with 403: the account may have lost its permission', 'closer')
  end
end

-- The API answers, and knows us: the probe opens the gate, and each answer lets one more call into flight.
local function good(ref)
  if (gate.shut == 'outage' or gate.shut == 'unauthorised') and gate.probe == ref then gate_open() end
  if gate.shut then return end
  gate_set('forbidden', nil)
  if gate.bad then breathe() end
  if gate.window then
    gate_set('window', not gate.fresh and tonumber(gate.window) < WINDOW_MOST and gate.window + 1 or nil)
    gate_set('fresh', nil)
  end
end

-- What the reply tells about the API, whoever holds the lease by now.
local function feel(item)
  if item.hold then gate_shut('throttled', 'the API asked to hold back (Retry-After)', 'closer', NOW + item.hold) end
  if item.health == 'unauthorised' then
    gate_shut('unauthorised', 'the API refuses the key with 401', 'closer')
  elseif item.health == 'forbidden' then
    if gate.shut == 'outage' and gate.probe == item.ref then gate_open() end
    forbid(item.ref)
  elseif item.health == 'good' then
    good(item.ref)
  elseif item.health == 'bad' and not gate.shut then
    breathe(item.ref)
  end
end

local function settle(item)
  feel(item)  -- first: opening the gate may queue this closure again
  local ref, c = item.ref, load(item.ref)
  local mine = c and c.s == 'closing' and c.x == item.x
  -- That a group is closed is a fact: it counts even when the lease has ended and others have taken over or given up.
  local fact = c and item.to == 'closed' and c.s ~= 'closed'
  if not (mine or fact) then return 0 end
  if item.h then note(c, item.h) end
  c.w = nil
  if item.to == 'closed' then
    close(ref, c, item.o)
  elseif item.to == 'failed' then
    c.k, c.m, c.g, c.l = nil, nil, nil, nil
    c.r = item.r
    move(ref, c, 'failed')
  elseif item.to == 'retrying' and gate.shut == 'outage' and item.health == 'bad' and not item.told then
    move(ref, c, 'queued', NOW)
  elseif item.to == 'retrying' then
    if item.miss then c.m = (c.m or 0) + 1 else c.k = (c.k or 0) + 1 end
    move(ref, c, 'retrying', NOW + item.delay)
  else
    move(ref, c, 'queued', NOW)
  end
  save(ref, c)
  return 1
end

gate_reason()
local settled = { 0 }
for i = 3, #ARGV do settled[#settled + 1] = settle(cjson.decode(ARGV[i])) end
settled[1] = gate.shut and math.floor(gate.since) or 0
return settled
