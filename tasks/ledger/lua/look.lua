#!lua flags=no-writes
-- Reads the gate and changes nothing.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Returns  the gate, JSON, see lib/keys.lua

return gate_view()
