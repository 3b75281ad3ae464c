-- Writes down a worker's sign of life, and forgets workers that have not given one for an hour.
-- KEYS, ARGV[1..2]  see lib/base.lua; workers  hash  name → JSON: what the worker says of itself, and "at" (ms)
-- ARGV[3]  the worker's name    ARGV[4]  what it says, a JSON object; "" to take its name off
-- Returns  every worker as a flat list: name, JSON, …, and first the time (ms). A field that no worker wrote is left
--          alone and returned like the others: whoever reads it must expect anything.

local FORGET_WORKER_MS = 3600000

expect('hash', { 'workers' })
expect('set', { 'reconsider' })
if ARGV[4] ~= '' then
  local said = cjson.decode(ARGV[4])
  said.at = NOW
  redis.call('HSET', P .. 'workers', ARGV[3], cjson.encode(said))
elseif ARGV[3] ~= '' then
  redis.call('HDEL', P .. 'workers', ARGV[3])
end
local known, workers = redis.call('HGETALL', P .. 'workers'), { NOW }
for i = 1, #known, 2 do
  local at = seen_at(known[i + 1])
  if at and NOW - at > FORGET_WORKER_MS then
    redis.call('HDEL', P .. 'workers', known[i])
  else
    workers[#workers + 1] = known[i]
    workers[#workers + 1] = known[i + 1]
  end
end
forget_keys()
judge_keys()
return workers
