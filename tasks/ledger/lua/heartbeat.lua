-- Writes a worker's sign of life. The ledger's version rises when every worker knows the next one.
-- Forgets workers that have not given a sign of life for an hour. Where another one with the same host and process number
-- gives one, as after a container's restart, a minute of silence is enough.
-- KEYS, ARGV[1..2]  see lib/base.lua; workers  hash  name → JSON: what the worker says of itself, "at" (ms), and
--                   "ledger_version", the latest version of the ledger that it knows (absent: 0)
-- ARGV[3]  the worker's name, HOST:PID:TOKEN    ARGV[4]  what it says, a JSON object; "" takes its name off
-- Returns  a flat list: the time (ms), then every worker's name and JSON. A field that another program wrote is left
--          alone and returned like the others, so the reader must accept any text.

local FORGET_WORKER_MS = 3600000

expect('hash', { 'workers' })
expect('set', { 'reconsider' })
if ARGV[4] ~= '' then
  local said = cjson.decode(ARGV[4])
  said.at, said.ledger_version = NOW, VERSION
  redis.call('HSET', P .. 'workers', ARGV[3], cjson.encode(said))
elseif ARGV[3] ~= '' then
  redis.call('HDEL', P .. 'workers', ARGV[3])
end
-- How long a worker may be silent until it is forgotten (ms).
local place = ARGV[4] ~= '' and string.match(ARGV[3], '^.+:%d+:') or nil
local function patience(name)
  local replaced = place and name ~= ARGV[3] and string.sub(name, 1, #place) == place
  return replaced and WORKER_ALIVE or FORGET_WORKER_MS
end
local known, workers = redis.call('HGETALL', P .. 'workers'), { NOW }
for i = 1, #known, 2 do
  local at = seen_at(known[i + 1])
  if at and NOW - at > patience(known[i]) then
    redis.call('HDEL', P .. 'workers', known[i])
  else
    workers[#workers + 1] = known[i]
    workers[#workers + 1] = known[i + 1]
  end
end
if ARGV[4] ~= '' then rise() end
forget_keys()
judge_keys()
return workers
