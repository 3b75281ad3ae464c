#!lua flags=no-writes
-- Reads closures; also where the store is full or a replica: that is when operators look.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3..]  references
-- Returns    for each: { record (JSON), when it entered its state (ms), its time on the agenda (ms) or "", its state } or {};
--            a record that cannot be read is "", and the state then that of an index that holds it

local function state_of(ref, c)
  if c then return c.s end
  for state in pairs(NEEDED) do
    if redis.call('ZSCORE', P .. state, ref) then return state end
  end
  return 'queued'
end

local found = {}
for i = 3, #ARGV do
  local ref = ARGV[i]
  local c, raw = load(ref)
  local state = raw and state_of(ref, c)
  found[#found + 1] = raw and {
    c and raw or '',
    redis.call('ZSCORE', P .. state, ref) or NOW,
    redis.call('ZSCORE', P .. 'agenda', ref) or '',
    state,
  } or {}
end
return found
