-- Reads and writes the policy of the whole fleet. A ledger is for one API only, because its closures name groups there.
-- KEYS, ARGV[1..2]  see lib/base.lua; policy  hash  api: the API's address, see tasks/api/address.py; deadline_ms, pause_ms,
--                   stream, event_types, …: the settings of the worker that started last, see tasks/ledger/policy.py
--                   workers  hash  see heartbeat.lua; a worker says the address it calls as "api"
-- ARGV[3]  hold: keep this address if the ledger has none; start: the same, and also keep the policy if the address is the
--          ledger's; move: replace the ledger's address by this one
-- ARGV[4]  the address    ARGV[5]  for a move: by whom    ARGV[6]  why    ARGV[7]  the door
-- ARGV[5..]  for a start: fields and values
-- Returns  the address that the ledger is for now; and, for a move that was refused, the names of the workers that were
--          seen in the last minute and call another address, or do not say which; or, for a start that must wait, "" and
--          the names of the workers of an older closer that were seen in the last minute: nothing is written then
-- A move is written into the audit in the same step, see lib/audit.lua.

local verb, address = ARGV[3], ARGV[4]
refuse_newer(fleet('version', 0))  -- the gate's field `version` may be lost
local older = verb == 'start' and workers_before(OLDEST_BESIDE) or {}
if #older > 0 then return { '', unpack(older) } end
if verb ~= 'move' then redis.call('HSETNX', P .. 'policy', 'api', address) end
local now = redis.call('HGET', P .. 'policy', 'api') or ''
if verb == 'start' and now == address then redis.call('HSET', P .. 'policy', unpack(ARGV, 5)) end
if verb ~= 'move' or now == address then return { now } end

local others = workers_seen(WORKER_ALIVE, function(said) return said.api ~= address end)
if #others > 0 then return { now, unpack(others) } end

expect('stream', { 'audit' })
redis.call('HSET', P .. 'policy', 'api', address)
tallies.add('actions:move-api')
redis.call('XADD', P .. 'audit', '*', 'by', ARGV[5], 'door', ARGV[7], 'action', 'move-api', 'filter', now .. ' -> ' .. address,
  'matched', 1, 'changed', 1, 'why', ARGV[6])
notice('api_moved', { from = now, to = address, by = ARGV[5], why = ARGV[6] })
return { address }
