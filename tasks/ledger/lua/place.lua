#!lua flags=no-writes
-- Tells where an unfinished closure stands in time.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  its reference
-- Returns  { now (ms), when somebody must next look at it (ms) or "", how much time is left to its deadline on the open clock
--          (ms, below 0: it is over) or "" }; both "" for one that is finished, not known, or cannot be read

local function text(number)
  return number and string.format('%.0f', number) or ''
end

local c = load(ARGV[3])
if not (c and UNFINISHED[c.s]) then return { text(NOW), '', '' } end
return { text(NOW), text(as_time(redis.call('ZSCORE', P .. 'agenda', ARGV[3]))), text(c.d - open_clock()) }
