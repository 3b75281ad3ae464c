-- Detects that the store's clock was set, and moves all plans along with it.
-- The clock may be set while work waits, or a store with another clock may take over. A store that was frozen looks the
-- same. Moving the plans then keeps everything as far in the future as it was.
--
-- A caller that has looked before knows what the clock must show now. A newcomer, such as a starting worker or an
-- operator's command, does not. So a newcomer decides nothing while a worker may be alive that knows. It gets an empty
-- reply until that worker has looked. Fields of the gate:
--   clock  where the store's clock stood when it was last looked at (ms)
--   moved  by how much all that is planned has been moved along with it so far (ms)

local JUMP = 5000  -- a smaller jump looks like a slow network (ms)
local LOOK = 500
local ALIVE = 60000  -- a worker whose last sign of life was so shortly before the last look may still be alive (ms)

local CLOCK = as_time(gate.clock)

local PLANS = { 'agenda', 'dispatched', 'open', 'closing' }

-- Plans those anew that wait for their time. A time that an event has named does not move with the clock.
local function plan_waiting()
  for _, ref in ipairs(redis.call('ZRANGE', P .. 'waiting', 0, -1)) do
    local c = load(ref)
    if c and c.s == 'queued' then wait_until(ref, math.max(NOW, not_before(c))) end
  end
end

local function move_plans(by)
  expect('zset', { 'waiting', unpack(PLANS) })  -- this comes first: an error between the moves would leave half of the plans to be moved twice
  for _, index in ipairs(PLANS) do
    local planned = redis.call('ZRANGE', P .. index, 0, -1, 'WITHSCORES')
    for i = 1, #planned, 2 do redis.call('ZADD', P .. index, planned[i + 1] + by, planned[i]) end
  end
  move_gate(by)
  move_keys(by)
  gate_set('moved', moved_so_far() + by)
  plan_waiting()
end

-- Ends a script: writes what it has counted, and wraps its reply with what its caller must remember: the time and
-- `moved` (ms).
local function with_look(reply)
  tallies.write()
  return { string.format('%.0f', NOW), string.format('%.0f', moved_so_far()), reply }
end

-- The jump that a newcomer can see (ms). It knows only that a clock does not go back by itself.
local function jump_for_newcomer()
  local passed = NOW - (CLOCK or NOW)
  return passed < -JUMP and passed or 0
end

-- By how much the clock was set since this caller looked (ms), without what others have moved already.
local function jump_since(since, stood, moved)
  local passed = NOW - stood
  local unmoved = passed - (moved_so_far() - moved)
  local function odd(ms) return ms < -JUMP or ms - since > JUMP end
  -- Both must be odd: a newcomer may first have looked after the clock was set and before others moved the plans.
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
