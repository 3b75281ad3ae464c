-- The store's clock, as it goes and as it is set.
-- It may be set while work waits, or another store with another clock takes over. Then all that is planned moves with it.
-- A store that was frozen for a while looks the same: then, too, everything is as far off as it was.
--
-- Whoever has looked before knows where the clock must stand now, whatever others have seen meanwhile. Whoever has not (a
-- newcomer: a worker that starts, an operator's command) knows nothing, so it decides nothing while a worker may live that
-- does: it is sent away, with an empty reply, until that worker has looked. Fields of the gate:
--   clock  where the store's clock stood when it was last looked at (ms)
--   moved  by how much all that is planned has been moved along with it so far (ms)

local JUMP = 5000  -- less cannot be told from a slow network
local LOOK = 500
local ALIVE = 60000  -- a worker gave a sign of life so short a time before the last look (ms): it may still be there

local CLOCK = as_time(gate.clock)

-- By how much plans have been moved along so far (ms); 0 where the field is lost or spoilt.
local function moved_so_far()
  local moved = tonumber(gate.moved or 0)
  return moved and math.abs(moved) <= LATEST and moved or 0
end

local PLANS = { 'agenda', 'dispatched', 'open', 'closing' }

local function move_plans(by)
  expect('zset', PLANS)  -- first: that the plans were moved is written last, so half of them would be moved again
  for _, index in ipairs(PLANS) do
    local planned = redis.call('ZRANGE', P .. index, 0, -1, 'WITHSCORES')
    for i = 1, #planned, 2 do redis.call('ZADD', P .. index, planned[i + 1] + by, planned[i]) end
  end
  move_gate(by)
  move_keys(by)
  gate_set('moved', moved_so_far() + by)
end

-- A script's reply, with what its caller must remember of this look.
local function with_look(reply)
  return { string.format('%.0f', NOW), string.format('%.0f', moved_so_far()), reply }
end

-- A newcomer knows one thing only: that no clock goes back by itself.
local function jump_for_newcomer()
  local passed = NOW - (CLOCK or NOW)
  return passed < -JUMP and passed or 0
end

-- By how much the clock was set since this caller looked, without what others have moved along already.
local function jump_since(since, stood, moved)
  local passed = NOW - stood
  local unmoved = passed - (moved_so_far() - moved)
  local function odd(ms) return ms < -JUMP or ms - since > JUMP end
  -- Both: a newcomer's first look may have come after the clock was set, and before others moved the plans.
  return odd(passed) and odd(unmoved) and unmoved - since or 0
end

local function somebody_knows()
  for _, raw in ipairs(redis.call('HVALS', P .. 'workers')) do
    local at = seen_at(raw)
    if at and at > CLOCK - ALIVE then return true end
  end
  return false
end

if SINCE == 'never' and CLOCK and math.abs(NOW - CLOCK) > JUMP and somebody_knows() then return {} end
if SINCE ~= '' then
  local since = tonumber(SINCE)
  local jump = since and jump_since(since, tonumber(STOOD), tonumber(MOVED)) or not since and jump_for_newcomer() or 0
  if jump ~= 0 then move_plans(jump) end
  if jump ~= 0 or not CLOCK or NOW - CLOCK >= LOOK then gate_set('clock', NOW) end
end
