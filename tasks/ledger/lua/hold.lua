-- Holds groups, or releases them, for an operator. One call handles a whole chunk in one step.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- Uses lib/cancel, lib/holding, lib/bulk_verbs, lib/stepping, lib/inspection
-- ARGV[3]   hold or release
-- ARGV[4]   for a hold: JSON { by, why, door }, see lib/holds.lua
-- ARGV[5]   id of the action's announcement in the audit, "" for none
-- ARGV[6..] references; or "", the id of a bulk action, who carries it, for how long (ms), and the most items: then the next
--           items are held or released, and ARGV[4], ARGV[5] do not count
-- Returns   for each: { word, JSON: the hold that stands now, or stood until the release, or "", ms until the lease of the
--           attempt under way ends or "" }. Words of a hold: "held", "pending" (it takes effect when the attempt that is
--           under way ends), "already" (somebody had held it, and still does; an event's hold becomes the operator's), or
--           "closed" and "discarded": nothing was done. Words of a release: "released", "forgotten" (no complete event had
--           come for it), "not held" or "unreadable" (its record is damaged, so it is not queued; nobody is known to have
--           asked for it)
--           or only { { "older workers", names } }: they would not respect a hold; nothing was done

expect_indexes()
expect('stream', { 'audit' })
local HOLDS, DETAILS, AUDIT = ARGV[3] == 'hold', ARGV[4], ARGV[5]
local ACTION = ARGV[6] == '' and ARGV[7]
local action = ACTION and stepping.begin(ACTION)
if action then DETAILS, AUDIT = cjson.encode({ by = action.by, why = action.why, door = action.door }), action.audit end
local older = HOLDS and workers_before(VERSION) or {}
if #older > 0 then return { { 'older workers', table.concat(older, ', ') } } end
local added = 0

-- Whether a person holds the group already. An event's hold becomes the operator's, so that no other event ends it.
local function stands(ref)
  local hold = hold_of(ref)
  return hold and not cancel.made(hold)
end

local function hold_known(ref, c)
  if c.s == 'closed' or c.s == 'discarded' then return c.s end
  local word = stands(ref) and 'already' or 'held'
  if word == 'held' then
    write_hold(ref, cancel.taken_over(ref, cjson.decode(DETAILS)))
    sign(c, 'hold', AUDIT)
  end
  local now = holding.known(ref, c)
  save(ref, c)
  return word == 'held' and not now and 'pending' or word
end

-- Holds a group whose closure is not known, or whose record is damaged.
local function hold_unknown(ref, damaged)
  if stands(ref) then return 'already' end
  if is_held(ref) then
    write_hold(ref, cancel.taken_over(ref, cjson.decode(DETAILS)))
    return 'held'
  end
  local c = holding.unknown(ref, damaged, cjson.decode(DETAILS))
  if not c then return holding.lease_left(ref) and 'pending' or 'held' end
  sign(c, 'hold', AUDIT)
  save(ref, c)
  added = added + 1
  return 'held'
end

local function hold(ref)
  local c, damaged = load(ref)
  local word
  if c then word = hold_known(ref, c) else word = hold_unknown(ref, damaged) end
  local left = holding.lease_left(ref, c)
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

local function change(ref)
  local row = HOLDS and hold(ref) or not HOLDS and release(ref)
  local word = row[1]
  if CHANGED[word] then
    changed = changed + 1
    first = first or ref
  else
    skipped[word] = (skipped[word] or 0) + 1
  end
  rows[#rows + 1] = row
  if ACTION then row[4] = ref end
  return CHANGED[word] and 'done' or word
end

-- Whether a group is still held as it was when it was frozen (`at`, ms; 0: it was not held then, as while it was attempted).
local function change_item(ref, at)
  if not HOLDS and at > 0 and tonumber(redis.call('ZSCORE', P .. 'held', ref)) ~= at then return 'moved on' end
  return change(ref)
end

local stepped
if ACTION then
  stepped = stepping.run(ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), change_item)
else
  for i = 6, #ARGV do change(ARGV[i]) end
end
if HOLDS and changed > 0 then
  rise()
  local details = cjson.decode(DETAILS)
  notice('held', { by = details.by, why = details.why, id = AUDIT, groups = changed, reference = first })
end
count_closures(added)
if ACTION then return { stepped, rows } end
audited(AUDIT, changed, skipped)
return rows
