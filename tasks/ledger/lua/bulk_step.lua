#!lua
-- Does the next few items of a re-queue, a discard or a recall, for whoever carries it.
-- KEYS, ARGV[1..2]  see lib/base.lua; other keys  see lib/bulk.lua
-- ARGV[3]  the action's id    ARGV[4]  who carries it    ARGV[5]  for how long from now (ms)    ARGV[6]  the most items
-- Returns  as `stepping.run`

local ID = ARGV[3]
local a
local older   -- open actions that were begun before this one
local tracked -- whether every live worker counts what becomes of the items
local became = {} -- how many items this step has brought into each state

-- Why an item belongs to another action; nil when it does not.
local function of_another(ref)
  for _, other in ipairs(older) do
    if type(redis.pcall('ZSCORE', bulk.key(other[1], 'items'), ref)) == 'string' then
      return other[2] == a.verb and 'not needed' or 'refused: action ' .. other[1] .. ' has it'
    end
  end
  return nil
end

-- Why an item that is not as it was when it was frozen is left alone.
local function moved_on(c)
  local by = c.A and c.A ~= ID and redis.pcall('HGET', bulk.key(c.A), 'verb')
  return by == a.verb and 'not needed' or 'moved on'
end

local VERBS = {}

local function change_failed(ref, at, change)
  local c, damaged = load(ref)
  if not c then return damaged and 'unreadable' or 'unknown' end
  local why = of_another(ref)
  if why then return why end
  if c.s ~= 'failed' or tonumber(redis.call('ZSCORE', P .. 'failed', ref)) ~= at then return moved_on(c) end
  local reason = c.r
  change(c)
  if tracked then
    c.A, c.Ar = ID, a.verb == 'requeue' and reason or nil
    redis.call('ZADD', bulk.key(ID, 'changed'), at, ref)
    became[c.s] = (became[c.s] or 0) + 1
  end
  sign(c, a.verb, a.audit)
  save(ref, c)
  return 'done'
end

function VERBS.requeue(ref, at)
  return change_failed(ref, at, function(c) bulk.requeue(ref, c, a.trigger, a.lock == '1') end)
end

function VERBS.discard(ref, at)
  return change_failed(ref, at, function(c) bulk.discard(ref, c) end)
end

local function take_back(ref, c, at)
  bulk.give_back(ref, c, at)
  sign(c, 'recall', a.audit)
  save(ref, c)
  return 'done'
end

-- A closure that is claimed returns when its attempt ends without a call. A lease that has ended tells nothing of a call.
local function mark(ref, c, at)
  local ends = as_time(redis.call('ZSCORE', P .. 'agenda', ref))
  if ends and ends <= NOW then end_lease(ref, c) else c.Am, c.Ab = at, ID end
  save(ref, c)
  return c.Am and 'marked' or 'called'
end

function VERBS.recall(ref, at)
  local c, damaged = load(ref)
  if not c then return damaged and 'unreadable' or 'unknown' end
  if c.s == 'closed' or c.s == 'failed' and c.A == a.of then return 'called' end
  if c.A ~= a.of then return 'moved on' end
  if c.s == 'discarded' and not c.Ar then return take_back(ref, c, at) end
  if c.Ar == '+' then return 'an event came' end
  if not IS_FAILURE[c.Ar] then return 'called' end
  if c.s == 'closing' then return mark(ref, c, at) end
  return take_back(ref, c, at)
end

a = stepping.begin(ID)
if a then
  if not VERBS[a.verb] then error('another script does this: ' .. a.verb) end
  older = bulk.older(ID)
  tracked = #workers_before(VERSION) == 0
  if tracked then rise() end
end
local told = stepping.run(ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), function(ref, at) return VERBS[a.verb](ref, at) end)
for state, number in pairs(became) do bulk.count(ID, 'became:' .. bulk.BECAME[state], number) end
return told
