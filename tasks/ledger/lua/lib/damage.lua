-- Handles what another program has written into the ledger's keys. It is reported and put aside, and does not end a script.

local LATEST = 253402300799999  -- the end of the year 9999; these scripts never write a later time (ms)

local WORKER_ALIVE = 60000  -- a worker whose last sign of life is at most so old may still be at work (ms)

-- The time in a number or a score; nil when it is not one: missing, text, NaN, infinite, before 1970 or too far off.
local function as_time(value)
  local at = tonumber(value)
  return at and at >= 0 and at <= LATEST and at or nil
end

-- Limits a number to valid times, for what must be shown and ordered in any case.
local function clamp(at)
  return math.min(math.max(at, 0), LATEST)
end

-- When a worker gave this sign of life (ms); nil when no worker wrote it.
local function seen_at(raw)
  local readable, said = pcall(cjson.decode, raw)
  return readable and type(said) == 'table' and type(said.at) == 'number' and as_time(said.at) or nil
end

-- The names of workers whose sign of life is at most `ms` old, and for which `whether(what it says)` is true.
local function workers_seen(ms, whether)
  local known, names = redis.call('HGETALL', P .. 'workers'), {}
  for i = 1, #known, 2 do
    local at = seen_at(known[i + 1])
    if at and math.abs(NOW - at) <= ms and whether(cjson.decode(known[i + 1])) then names[#names + 1] = known[i] end
  end
  return names
end

-- The names of live workers that know only an earlier version of the ledger. A sign of life without a version has 0.
local function workers_before(version)
  return workers_seen(WORKER_ALIVE, function(said) return (tonumber(said.ledger_version) or 0) < version end)
end

-- Whether a member of an index can be a group's reference, as in event.py.
local function is_reference(member)
  return #member <= 128 and string.find(member, '^[A-Za-z0-9_-]+$') ~= nil
end

-- Fails when one of these keys has another type than `kind`, because another program has written it. A script calls this
-- before its first write, so that it does everything or nothing.
local function expect(kind, names)
  for _, name in ipairs(names) do
    local found = redis.call('TYPE', P .. name).ok
    if found ~= kind and found ~= 'none' then
      error({ err = 'WRONGTYPE ' .. P .. name .. ' is a ' .. found .. ', not a ' .. kind })
    end
  end
end

-- Takes a member off an index when it is not a reference or nothing else in the ledger knows it. It is kept with the
-- rejected events, because nobody is known to have asked to close it. The caller has checked that `rejected` is a stream.
local function put_aside(index, member)
  local why = 'holds this, which is not a reference; another program writes to the keys of closer'
  if is_reference(member) then
    why = 'holds this reference, but it has no record and nothing else knows it; if the group must be closed: closer publish '
      .. member
  end
  redis.call('ZREM', P .. index, member)
  local problem = P .. index .. ': ' .. why
  local id = redis.call('XADD', P .. 'rejected', '*', 'event', member, 'origin', P .. index, 'problems', cjson.encode({ problem }))
  notice_rejected(id, problem)
  count_rejected(1)
end
