#!lua
-- Stops a bulk action, resumes it, leaves it to others, or recalls it.
-- KEYS, ARGV[1..2]  see lib/base.lua; other keys  see lib/bulk.lua
-- Uses lib/bulk_verbs
-- ARGV[3]  stop, resume, leave or recall    ARGV[4]  the action's id
-- ARGV[5]  stop: because of what    resume: who carries it, "" for nobody    leave: who has carried it
--          recall: the id of a draft without items, which becomes the action that recalls
-- ARGV[6]  resume, recall: for how long it is carried (ms)    ARGV[7]  recall: who carries it, "" for nobody
-- ARGV[8..] stop, resume, recall: fields of the audit's entry; none: no entry
-- Returns  what was done: "stopped", "resumed", "left", "recalling"; or nothing was done: "unknown", "no draft",
--          "older workers: …" (they would call what is recalled), or the state that the action is in

local WORD, ID, WHAT = ARGV[3], ARGV[4], ARGV[5]
local a

-- Writes the entry of the audit, with these fields more. Returns its id, "" where there is to be none.
local function announced(verb, ...)
  if not ARGV[8] then return '' end
  local fields = { unpack(ARGV, 8) }
  for _, field in ipairs({ ... }) do fields[#fields + 1] = field end
  return bulk.announce(verb, unpack(fields))
end

local function is_open() return a.state == 'running' or a.state == 'waiting' end

local function carry(id, holder, lease)
  redis.call('ZADD', P .. 'actions:open', holder ~= '' and NOW + lease or 0, id)
end

local function stop()
  if not is_open() then return a.state end
  bulk.finish(ID, a, 'stopped', WHAT)
  audited(announced('stop action'), 1, {})
  return 'stopped'
end

local function resume()
  if a.state ~= 'stopped' then return a.state end
  bulk.set(ID, a, { state = 'running', stopped_because = false, ended = false, holder = WHAT ~= '' and WHAT or false })
  redis.call('ZREM', P .. 'actions:ended', ID)
  carry(ID, WHAT, ARGV[6])
  audited(announced('resume action'), 1, {})
  return 'resumed'
end

local function leave()
  if a.holder ~= WHAT then return a.state end
  bulk.set(ID, a, { holder = false })
  if is_open() then carry(ID, '', 0) end
  return 'left'
end

local function recall()
  local older = workers_before(VERSION)
  if a.state == 'recalled' then return a.state end
  if #older > 0 then return 'older workers: ' .. table.concat(older, ', ') end
  if not redis.call('ZSCORE', P .. 'actions:drafts', WHAT) then return 'no draft' end
  rise()
  local changed, rest = redis.call('ZCARD', bulk.key(ID, 'changed')), redis.call('ZCARD', bulk.key(ID, 'items'))
  if is_open() then bulk.finish(ID, a, 'recalled') end
  bulk.set(ID, a, { state = 'recalled', dropped = rest })
  redis.call('ZADD', P .. 'actions:ended', NOW, ID)  -- so that it is not deleted before its items are taken back
  local recalling = {}
  for i = 8, #ARGV, 2 do recalling[ARGV[i]] = ARGV[i + 1] end
  bulk.set(WHAT, {}, { verb = 'recall', of = ID, by = recalling.by, door = recalling.door, why = recalling.why,
    selection = recalling.selection, skipped = '{}', state = 'running', changed = 0, matched = changed, eligible = changed,
    audit = announced('recall', 'matched', changed, 'skipped', '{}', 'bulk', WHAT), created = string.format('%.0f', NOW),
    holder = ARGV[7] ~= '' and ARGV[7] or false })
  redis.call('ZREM', P .. 'actions:drafts', WHAT)
  redis.call('ZADD', P .. 'actions', NOW, WHAT)
  carry(WHAT, ARGV[7], ARGV[6])
  return 'recalling'
end

expect('stream', { 'audit' })
bulk.expect(ID)
if WORD == 'recall' then bulk.expect(WHAT) end
a = bulk.read(ID)
if not a then return 'unknown' end
return ({ stop = stop, resume = resume, leave = leave, recall = recall })[WORD]()
