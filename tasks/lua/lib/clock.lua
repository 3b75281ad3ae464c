-- The store's clock, as it goes and as it is set.
-- It may be set while work waits, or another store with another clock takes over. That is seen when it stands before
-- where it stood, or further on than the caller knows time to have passed; then all that is planned moves with it. A store
-- that was frozen for a while looks the same: then, too, everything is as far off as it was.

local JUMP = 5000  -- less cannot be told from a slow network
local LOOK = 500

local function move_plans(by)
  for _, index in ipairs({ 'agenda', 'dispatched', 'open', 'closing' }) do
    local planned = redis.call('ZRANGE', P .. index, 0, -1, 'WITHSCORES')
    for i = 1, #planned, 2 do redis.call('ZADD', P .. index, planned[i + 1] + by, planned[i]) end
  end
  for _, field in ipairs({ 'since', 'till', 'probe_at', 'ramp', 'tat' }) do
    if gate[field] then gate_set(field, gate[field] + by) end
  end
  gate_set('lost', tonumber(gate.lost or 0) + by)  -- the open clock does not jump
end

local function look_at_clock(since)
  local passed = NOW - tonumber(gate.clock or NOW)
  local jump = passed - (since or 0)
  local jumped = passed < -JUMP or since and jump > JUMP
  if jumped then move_plans(jump) end
  if jumped or not gate.clock or passed >= LOOK then gate_set('clock', NOW) end
end

if SINCE ~= '' then look_at_clock(tonumber(SINCE)) end
