-- Reserves the next slot under the rate limit for a call that needs no claim, such as asking for a state.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  the pause between two calls of the whole fleet (ms, 0: no limit), where the fleet has no policy yet
-- ARGV[4]  reasons, separated by spaces, that do not forbid this call while the gate is shut for them
-- Returns  { ms to wait before the call, or -1 when the gate is shut and nothing was reserved; the gate, JSON, see
--          lib/keys.lua }

local allowed = {}
for reason in string.gmatch(ARGV[4], '%S+') do allowed[reason] = true end

is_shut()
for reason in pairs(reasons) do
  if not allowed[reason] then return { -1, gate_view() } end
end
local wait = next_slot(fleet('pause_ms', ARGV[3]))
keep_slots()
return { math.ceil(wait), gate_view() }
