-- Holds groups, or releases them, for an operator. One call handles a whole chunk in one step.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]   hold or release
-- ARGV[4]   for a hold: JSON { by, why, door }, see lib/holds.lua
-- ARGV[5]   id of the action's announcement in the audit, "" for none
-- ARGV[6..] references
-- Returns   for each: { word, JSON: the hold that stands now, or stood until the release, or "", ms until the lease of the
--           attempt under way ends or "" }. Words of a hold: "held", "pending" (it takes effect when the attempt that is
--           under way ends), "already" (somebody had held it, and still does), or "closed" and "discarded": nothing was
--           done. Words of a release: "released", "forgotten" (no event had come for it), "not held" or
--           "unreadable" (its record is damaged, so it is not queued; nobody is known to have asked for it)
--           or only { { "older workers", names } }: they would not respect a hold; nothing was done

expect_indexes()
expect('stream', { 'audit' })
local HOLDS, DETAILS, AUDIT = ARGV[3] == 'hold', ARGV[4], ARGV[5]
local older = HOLDS and workers_before(VERSION) or {}
if #older > 0 then return { { 'older workers', table.concat(older, ', ') } } end
local added = 0

-- How long the lease of the attempt under way still lasts (ms); nil when there is none. `c`: nil when it cannot be read.
local function lease_left(ref, c)
  if c and c.s ~= 'closing' or not c and not redis.call('ZSCORE', P .. 'closing', ref) then return nil end
  local ends = as_time(redis.call('ZSCORE', P .. 'agenda', ref))
  return ends and ends > NOW and ends - NOW or nil
end

local function hold_known(ref, c)
  if c.s == 'closed' or c.s == 'discarded' then return c.s end
  local word = is_held(ref) and 'already' or 'held'
  if word == 'held' then
    write_hold(ref, cjson.decode(DETAILS))
    sign(c, 'hold', AUDIT)
  end
  if c.s == 'closing' and not lease_left(ref, c) then end_lease(ref, c) end
  if c.s == 'closing' then word = word == 'held' and 'pending' or word else keep_held(ref, c) end
  save(ref, c)
  return word
end

-- The state that a closure with a damaged record is taken from, as far as the indexes tell.
local function taken_from(ref)
  return lists_of(ref)[1] and 'queued' or redis.call('ZSCORE', P .. 'failed', ref) and 'failed' or 'none'
end

-- Holds a group whose closure is not known, or whose record is damaged.
local function hold_unknown(ref, damaged)
  if is_held(ref) then return 'already' end
  local details = cjson.decode(DETAILS)
  details.from = damaged and taken_from(ref) or 'none'
  write_hold(ref, details)
  if damaged then return lease_left(ref) and 'pending' or 'held' end
  local c = { e = '', i = '', a = NOW, j = 'none' }
  sign(c, 'hold', AUDIT)
  move(ref, c, 'held')
  save(ref, c)
  added = added + 1
  return 'held'
end

local function hold(ref)
  local c, damaged = load(ref)
  local word
  if c then word = hold_known(ref, c) else word = hold_unknown(ref, damaged) end
  local left = lease_left(ref, c)
  return { word, redis.call('HGET', P .. 'holds', ref) or '', left and math.ceil(left) or '' }
end

local function forget(ref)
  redis.call('DEL', P .. 'c:' .. ref)
  redis.call('ZREM', P .. 'held', ref)
  added = added - 1
  return 'forgotten'
end

-- A closure whose record is damaged goes back onto the agenda, and is received anew. But nobody is known to have asked for
-- one that was taken from another state.
local function release_damaged(ref, from)
  redis.call('ZREM', P .. 'held', ref)
  if from ~= 'queued' then return 'unreadable' end
  redis.call('ZADD', P .. 'queued', 'NX', NOW, ref)
  redis.call('ZADD', P .. 'agenda', 'NX', NOW, ref)
  return 'released'
end

local function release(ref)
  local c, damaged = load(ref)
  local held = redis.call('HGET', P .. 'holds', ref)  -- false when there is none
  if not held and not (c and c.s == 'held') then return { 'not held', '', '' } end
  local from = (hold_of(ref) or {}).from
  drop_hold(ref)
  if not c then return { damaged and release_damaged(ref, from) or 'released', held, '' } end
  local word = 'released'
  if c.s == 'held' and c.j == 'none' then
    word = forget(ref)
  else
    if c.s == 'held' then take_off_hold(ref, c) end
    sign(c, 'release', AUDIT)
    save(ref, c)
  end
  return { word, held or '', '' }
end

local CHANGED = { held = true, pending = true, released = true, forgotten = true }
local rows, changed, skipped = {}, 0, {}
local first  -- the first reference that was changed
for i = 6, #ARGV do
  local row = HOLDS and hold(ARGV[i]) or not HOLDS and release(ARGV[i])
  if CHANGED[row[1]] then
    changed = changed + 1
    first = first or ARGV[i]
  else
    skipped[row[1]] = (skipped[row[1]] or 0) + 1
  end
  rows[#rows + 1] = row
end
if HOLDS and changed > 0 then
  rise()
  local details = cjson.decode(DETAILS)
  notice('held', { by = details.by, why = details.why, id = AUDIT, groups = changed, reference = first })
end
count_closures(added)
audited(AUDIT, changed, skipped)
return rows
