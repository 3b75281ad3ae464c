-- What the whole fleet goes by. First which API the ledger is for: one only, for its closures are groups there.
-- KEYS, ARGV[1..2]  see lib/base.lua; policy  hash  api: the API's address, see tasks/api/address.py; deadline_ms, pause_ms,
--                   stream, event_types: what the worker that started last was set to, see tasks/ledger/policy.py
--                   workers  hash  see heartbeat.lua; a worker says the address it calls as "api"
-- ARGV[3]  hold: take this address if there is none; start: the same, and if it is this address, take the policy;
--          move: take this address instead
-- ARGV[4]  the address    ARGV[5]  for a move: by whom    ARGV[6]  why    ARGV[7]  the door    ARGV[5..]  for a start: fields and values
-- Returns  the address that the ledger is for now; and, for a move that was refused, the names of the workers that were
--          seen in the last minute and call another address, or do not say which
-- A move is written into the audit in the same step, see lib/audit.lua.

local ALIVE_MS = 60000

local verb, address = ARGV[3], ARGV[4]
if verb ~= 'move' then redis.call('HSETNX', P .. 'policy', 'api', address) end
local now = redis.call('HGET', P .. 'policy', 'api') or ''
if verb == 'start' and now == address then redis.call('HSET', P .. 'policy', unpack(ARGV, 5)) end
if verb ~= 'move' or now == address then return { now } end

local known, others = redis.call('HGETALL', P .. 'workers'), {}
for i = 1, #known, 2 do
  local at = seen_at(known[i + 1])
  if at and math.abs(NOW - at) <= ALIVE_MS and cjson.decode(known[i + 1]).api ~= address then
    others[#others + 1] = known[i]
  end
end
if #others > 0 then return { now, unpack(others) } end

expect('stream', { 'audit' })
redis.call('HSET', P .. 'policy', 'api', address)
redis.call('XADD', P .. 'audit', '*', 'by', ARGV[5], 'door', ARGV[7], 'action', 'move-api', 'filter', now .. ' -> ' .. address,
  'matched', 1, 'changed', 1, 'why', ARGV[6])
notice('api_moved', { from = now, to = address, by = ARGV[5], why = ARGV[6] })
return { address }
