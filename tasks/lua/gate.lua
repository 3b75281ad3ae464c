-- Opens or shuts the gate by hand, or begins a slow start.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  pause, resume, start (a worker that starts does not know yet whether its key is good: few calls first) or look
-- ARGV[4]  by whom    ARGV[5]  why
-- A pause or resume is written into the audit in the same step, see lib/audit.lua; `changed` is 0 when it changed nothing.
-- Returns  the gate's fields as a flat list: name, value, …, with "now" among them

local WINDOW_START = 48

gate_reason()
local verb, before = ARGV[3], gate.shut
if verb == 'pause' then
  gate_shut('paused', ARGV[5], ARGV[4])
elseif verb == 'resume' and gate.shut then
  gate_open()
elseif verb == 'start' and not gate.shut and (gate.fresh or not gate.window) then
  ramp(WINDOW_START, 1)
end
if verb == 'pause' or verb == 'resume' then
  redis.call('XADD', P .. 'audit', '*', 'by', ARGV[4], 'action', verb, 'filter', '', 'matched', 1, 'why', ARGV[5],
    'changed', gate.shut ~= before and 1 or 0)
end
local fields = { 'now', string.format('%.0f', NOW) }
for name, value in pairs(gate) do
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
return fields
