-- Cancel events. Each holds its group, and a complete event of the same source with a later time ends that. See also
-- holds.lua, where an event's hold has these fields, too:
--   source     who holds the group; absent when a person does, and then nothing but a release ends the hold
--   id, time   of the event: its id, and its time (ms; absent when it has none)
--   cancels    source → time of its last cancel event (ms; NEVER: it had none). A person's hold may have it, too
--   till       when the hold of a group that no complete event has named ends (ms, on a clock that does not jump)
-- Fields of a record:
--   cn  the last cancel events, oldest first: "ms\nword\nsource\nid". The word says what became of it, see receive.lua
--   ct  the times of complete events, "ms\nsource", the latest of each source. Kept where cancel events are accepted
-- Keys:
--   cancels    zset  "reference\nsource\nid" of cancel events for groups that were not known, by when they came (ms, on a
--                    clock that does not jump); for KEEP ms, so that each counts once, also after a release
--   cancelled  zset  groups that are held by events, by since when (ms). It is for counting only
--   late       zset  groups for which a cancel event came after they were closed, by when it came (ms); for KEEP ms
-- An event's source and id hold no line break.

-- NEVER is later than every time that counts, and short enough for `cjson`, which keeps 14 digits.
local cancel = { KEEP = 7 * 86400000, KEPT = 16, NEVER = 9e13 }

-- The store's clock less all jumps that were noticed (ms).
function cancel.steady() return NOW - moved_so_far() end

-- The sources that cancel a group, with their times, as its hold has them; nil when there are none or they are damaged.
function cancel.sources(hold)
  local found = hold and hold.cancels
  if type(found) ~= 'table' or not next(found) then return nil end
  for source, at in pairs(found) do
    if type(source) ~= 'string' or type(at) ~= 'number' or not as_time(at) then return nil end
  end
  return found
end

-- Whether an event made this hold, so that another event may end it. A damaged one only a person ends.
function cancel.made(hold)
  return type(hold.source) == 'string' and cancel.sources(hold) ~= nil
end

-- Adds an event to the hold of its group, or makes one. Returns the hold, which the caller writes.
function cancel.add(hold, event)
  local sources, several = cancel.sources(hold), 0
  if hold and not sources then hold.source = nil end  -- a person's, or damaged: no event ends it
  hold = hold or { by = event.e, why = 'a cancel event', door = 'event', source = event.e, id = event.i, time = event.tm }
  sources = sources or {}
  sources[event.e] = math.max(sources[event.e] or 0, event.tm or cancel.NEVER)
  for _ in pairs(sources) do several = several + 1 end
  if several > cancel.KEPT then sources = { [event.e] = cancel.NEVER } end  -- so many that only a person ends it
  hold.cancels = sources
  if cancel.made(hold) then
    hold.till = cancel.steady() + cancel.KEEP
    redis.pcall('ZADD', P .. 'cancelled', 'NX', NOW, event.ref)
  end
  return hold
end

-- Has a person's hold take the place of an event's. Returns it. From then on only a release ends it.
function cancel.taken_over(ref, hold)
  local before = hold_of(ref)
  if before then hold.from, hold.cancels = before.from, before.cancels end
  redis.pcall('ZREM', P .. 'cancelled', ref)
  return hold
end

-- A complete event has come: ends the cancels of its source that are older. Returns whether that has ended the hold.
function cancel.confirm(ref, event)
  local hold = event.tm and hold_of(ref)
  local sources = hold and cancel.sources(hold)
  if not (sources and sources[event.e] and event.tm > sources[event.e]) then return false end
  sources[event.e] = nil
  local by_event, other = type(hold.source) == 'string', next(sources)
  if by_event and not other then
    drop_hold(ref)
    return true
  end
  if by_event then hold.by, hold.source, hold.id, hold.time = other, other, nil, nil end
  hold.cancels = other and sources or nil
  write_hold(ref, hold)
  return false
end

-- Counts a group that was closed although a cancel event asked for a hold.
function cancel.count_late(ref) redis.pcall('ZADD', P .. 'late', cancel.steady(), ref) end

-- Tells of such groups: the first, its event's source and id (`e`, `i`), when it was closed, and how many they are.
function cancel.notice_late(ref, event, at, groups)
  notice('cancel_too_late', { source = event.e, id = event.i, groups = groups, reference = ref, closed_at = at })
end

-- Remembers the time of a complete event in the record. The caller saves.
function cancel.remember_time(c, event)
  if not event.tm then return end
  local times = {}
  for _, line in ipairs(c.ct or {}) do
    local at, source = string.match(line, '^(%d+)\n(.*)$')
    if source ~= event.e then times[#times + 1] = line else event.tm = math.max(event.tm, tonumber(at)) end
  end
  times[#times + 1] = string.format('%.0f\n', event.tm) .. event.e
  if #times > cancel.KEPT then table.remove(times, 1) end
  c.ct = times
end

-- Whether a complete event of the same source has a later time than this cancel event.
function cancel.outdated(c, event)
  for _, line in ipairs(event.tm and c.ct or {}) do
    local at, source = string.match(line, '^(%d+)\n(.*)$')
    if source == event.e and tonumber(at) > event.tm then return true end
  end
  return false
end

-- Notes in the record what became of a cancel event. The caller saves.
function cancel.note(c, event, word)
  c.cn = c.cn or {}
  c.cn[#c.cn + 1] = string.format('%.0f', NOW) .. '\n' .. word .. '\n' .. event.e .. '\n' .. event.i
  if #c.cn > cancel.KEPT then table.remove(c.cn, 1) end
end

-- An attempt has closed a group that is held. When cancel events have asked for that hold, they came too late.
function tell_too_late(ref, c)
  local hold = hold_of(ref)
  local source = next(cancel.sources(hold) or {})
  if not source then return end
  for i, line in ipairs(c.cn or {}) do c.cn[i] = string.gsub(line, '^(%d+)\ncancelled\n', '%1\ntoo late\n') end
  cancel.count_late(ref)
  cancel.notice_late(ref, { e = source, i = type(hold.id) == 'string' and hold.id or nil }, NOW, 1)
end

local function member(event) return event.ref .. '\n' .. event.e .. '\n' .. event.i end

-- Remembers a cancel event beside the record, for a group that has none that would last.
function cancel.remember(event)
  redis.call('ZADD', P .. 'cancels', cancel.steady(), member(event))
end

-- Whether this cancel event has come before. `c`: nil when there is no record.
function cancel.seen(c, event)
  local identity = event.e .. '\n' .. event.i
  for _, line in ipairs(c and c.cn or {}) do
    if string.match(line, '^%d+\n[^\n]*\n(.*)$') == identity then return true end
  end
  return redis.call('ZSCORE', P .. 'cancels', member(event)) and true or false
end
