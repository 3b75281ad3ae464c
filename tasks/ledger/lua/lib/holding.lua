-- Puts holds on groups: those of operators (hold.lua) and those of cancel events (receive.lua).

local holding = {}

-- How long the lease of the attempt under way still lasts (ms); nil when there is none. `c`: nil when it cannot be read.
function holding.lease_left(ref, c)
  if c and c.s ~= 'closing' or not c and not redis.call('ZSCORE', P .. 'closing', ref) then return nil end
  local ends = as_time(redis.call('ZSCORE', P .. 'agenda', ref))
  return ends and ends > NOW and ends - NOW or nil
end

-- Has the hold of a known closure take effect, unless an attempt is under way. The caller has written the hold, and saves.
-- Returns whether the closure is held now.
function holding.known(ref, c)
  if c.s == 'closing' and not holding.lease_left(ref, c) then end_lease(ref, c) end
  if c.s == 'closing' then return false end
  keep_held(ref, c)
  return true
end

-- The state that a closure with a damaged record is taken from, as far as the indexes tell.
local function taken_from(ref)
  return lists_of(ref)[1] and 'queued' or redis.call('ZSCORE', P .. 'failed', ref) and 'failed' or 'none'
end

-- Holds a group whose closure is not known, or whose record is damaged. Returns a record without an event, which the caller
-- saves and counts, or nil for a damaged one.
function holding.unknown(ref, damaged, hold)
  hold.from = damaged and taken_from(ref) or 'none'
  write_hold(ref, hold)
  if damaged then return nil end
  local c = { e = '', i = '', a = NOW, j = 'none' }
  move(ref, c, 'held')
  return c
end
