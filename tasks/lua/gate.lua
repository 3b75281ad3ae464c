-- Opens or shuts the gate by hand, or begins a slow start.
-- KEYS, ARGV[1..2]  see lib.lua
-- ARGV[3]  pause, resume, start (a worker that starts knows nothing of the API yet: few calls first) or look
-- ARGV[4]  by whom    ARGV[5]  why
-- Returns  the gate's fields as a flat list: name, value, …, with "now" among them

local WINDOW_START = 32

gate_reason()
local verb = ARGV[3]
if verb == 'pause' then
  gate_shut('paused', ARGV[5], ARGV[4])
elseif verb == 'resume' and gate.shut then
  gate_open()
elseif verb == 'start' and not gate.shut then
  ramp(WINDOW_START)
end
local fields = { 'now', string.format('%.0f', NOW) }
for name, value in pairs(gate) do
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
return fields
