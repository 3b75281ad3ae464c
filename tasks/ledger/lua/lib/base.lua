-- Begins every script: the keys, the arguments, the time. The other parts of this folder follow.
--
-- KEYS[1]  prefix of all keys ("{closer}:"). The others are built from it:
--   c:{reference}    string  the closure's record, JSON, see record.lua
--   {state}          zset    the references in that state, by when they entered it (ms)
--   failed:{reason}  zset    the same for each failure reason
--   agenda           zset    every unfinished closure, by when someone must next look at it (ms)
--   dispatched       zset    queued closures that a task message names, by when it was sent (ms)
--   open             zset    every unfinished closure, by when its first event was received (ms)
--   audit            stream  operators' actions, see audit.lua
--   gate             hash    see gate.lua; absent: open
--   policy           hash    what the whole fleet goes by, see policy.lua
--   notices          stream  what somebody may want to be told of, see notices.lua    told  hash  see there
--   alerts           hash    who sends alerts, and how far, see alerts.lua
--   tally, marks     hashes  what has happened, see tally.lua
--   workers          hash    each worker's last sign of life, see heartbeat.lua
--   rejected         stream  what is not an event, see letters.lua
--   inspection       hash    see inspection.lua
--   tokens           hash    who may use the console, the API and the HTTP door, see token.lua    tokens_used  hash  see there
--   cancels cancelled late  zsets  of cancel events, see cancel.lua
--   shared           hash    streams that other consumer groups read, too, see take_off.lua
-- VERSION, OLDEST_BESIDE  constants that Python writes before this text, see version.py
-- ARGV[1]  "now|since|stood|moved".
--          now: the time (ms); "" for the store's clock, which is the only clock that the ledger uses.
--          The rest is what the caller knows of that clock, see clock.lua:
--          since: how long ago the caller last looked (ms); "never"; "waited": never, and it has waited for another caller
--          to look; "": it only reads and does not look.
--          stood: what the clock showed then (ms). moved: by how much plans had been moved until then (ms)
-- ARGV[2]  how long a closure is tried for, from the event or the re-queue (ms), where the fleet has no policy yet

local P = KEYS[1]
local NOW, SINCE, STOOD, MOVED = string.match(ARGV[1], '^(%d*)|(%w*)|([^|]*)|([^|]*)$')
NOW = tonumber(NOW)
if not NOW then
  local t = redis.call('TIME')
  NOW = t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A number of the fleet's policy, see policy.lua. The caller's own number counts only until a worker has written one.
-- `pcall`: a key of a wrong type must not end a script in the middle.
local function fleet(field, otherwise)
  local held = redis.pcall('HGET', P .. 'policy', field)
  local number = type(held) == 'string' and tonumber(held)
  return number and number >= 0 and number < 1e15 and number or tonumber(otherwise)
end
-- How long a closure is tried for (ms).
local function span() return fleet('deadline_ms', ARGV[2]) end

-- Fails when the ledger has a version that this program does not know. Each script calls it before its first write.
local function refuse_newer(version)
  if version > VERSION then error(string.format('NEWERLEDGER %.0f', version), 0) end
end
