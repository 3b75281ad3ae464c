#!lua flags=no-writes
-- Reads closures. It also works when the store is full or a replica, because operators look at such times.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3..]  references
-- Returns    for each: { record (JSON), when it entered its state (ms), until when it waits (ms) or "", its state, the hold
--            of its group, see lib/holds.lua, or "" };
--            {} when the closure is unknown. A record that cannot be read is "", and so is a lost one whose reference an
--            index still holds. The state is then that of the index

local function state_of(ref, c, raw)
  if c then return c.s end
  for state in pairs(NEEDED) do
    if redis.call('ZSCORE', P .. state, ref) then return state end
  end
  return is_held(ref) and 'held' or raw and 'queued'
end

local function score(index, ref)
  local at = as_time(redis.call('ZSCORE', P .. index, ref))
  return at and string.format('%.0f', at)
end

local found = {}
for i = 3, #ARGV do
  local ref = ARGV[i]
  local c, raw = load(ref)
  local state = state_of(ref, c, raw)
  found[#found + 1] = state and {
    c and raw or '',
    score(state, ref) or string.format('%.0f', NOW),
    state == 'retrying' and score('agenda', ref) or state == 'queued' and score('waiting', ref) or '',
    state,
    is_held(ref) and redis.call('HGET', P .. 'holds', ref) or '',
  } or {}
end
return found
