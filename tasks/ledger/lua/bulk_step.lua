#!lua
-- Does the next few items of a re-queue, a discard, a verify, a recall or a replay of rejected events, for whoever carries it.
-- KEYS, ARGV[1..2]  see lib/base.lua; other keys  see lib/bulk.lua
-- Uses lib/cancel, lib/bulk_verbs, lib/stepping, lib/reconciling, lib/letters
-- ARGV[3]  the action's id    ARGV[4]  who carries it    ARGV[5]  for how long from now (ms)    ARGV[6]  the most items
-- ARGV[7..]  where the API is asked first, three for each item: its reference; "closed", "locked", "open", or why it cannot be
--          told; and what this script has given with it. An item without an answer is left
--          for a replay: its id; "received", or why it was not; and what this script has given with it
-- Returns  as `stepping.run`; where the API is asked first also the items to ask for: { reference, when it was closed, "" if it
--          is not (ms), … }

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

local SAYS = { closed = true, locked = true, open = true }
local said = {}   -- reference → { what the API says, when the closure was closed (ms) }
local to_ask = {}

-- What the API says of the group; nil: it is to be asked.
local function answer_for(ref)
  if said[ref] then return said[ref] end
  to_ask[#to_ask + 1] = ref
  to_ask[#to_ask + 1] = redis.call('ZSCORE', P .. 'closed', ref) or ''
  return nil
end

local VERBS = {}

local function change_failed(ref, at, change)
  local c, damaged = load(ref)
  if not c then return damaged and 'unreadable' or 'unknown' end
  local why = of_another(ref)
  if why then return why end
  if c.s ~= 'failed' or tonumber(redis.call('ZSCORE', P .. 'failed', ref)) ~= at then return moved_on(c) end
  if a.ask then
    local answer = answer_for(ref)
    if not answer then return 'later' end
    if answer[1] == 'closed' then
      reconciling.reconcile(ref, 'closed', '', a.audit)
      return 'recorded as closed'
    end
  end
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

function VERBS.verify(ref)
  local c, damaged = load(ref)
  if not c then return damaged and 'unreadable' or 'unknown' end
  local answer = answer_for(ref)
  if not answer then return 'later' end
  if not SAYS[answer[1]] then return answer[1] end
  local word = reconciling.reconcile(ref, answer[1], answer[2], a.audit)
  if word == 'done' and answer[1] ~= 'closed' then redis.call('ZADD', bulk.key(ID, 'changed'), NOW, ref) end
  return word
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

local bytes = 0   -- of the rejected events that this step has looked at

-- A rejected event is taken off after its events were received, which whoever carries the action has done.
function VERBS.replay(id)
  local answer = said[id]
  if not answer then
    to_ask[#to_ask + 1] = id
    to_ask[#to_ask + 1] = ''
    return 'later'
  end
  if answer[1] ~= 'received' then return answer[1] end
  if bytes >= PAGE_BYTES then return 'later' end
  local entry = letter(id)
  bytes = bytes + size_of(entry)
  return entry and take_letter_off(entry) and 'done' or 'gone'
end

a = stepping.begin(ID)
if a and a.verb == 'replay' then expect('stream', { 'rejected' }) end
if a then
  if not VERBS[a.verb] then error('another script does this: ' .. a.verb) end
  older = bulk.older(ID)
  tracked = #workers_before(VERSION) == 0
  if tracked then rise() end
end
for i = 7, #ARGV, 3 do said[ARGV[i]] = { ARGV[i + 1], ARGV[i + 2] } end
stepping.answered = next(said) ~= nil
local told = stepping.run(ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), function(ref, at) return VERBS[a.verb](ref, at) end)
if bytes > 0 then sweep_letters() end
for state, number in pairs(became) do bulk.count(ID, 'became:' .. bulk.BECAME[state], number) end
told[6] = to_ask
return told
