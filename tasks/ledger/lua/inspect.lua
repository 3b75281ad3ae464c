-- Does one step of the inspection. It looks through a few closures, and corrects the agenda and the indexes where they have
-- lost entries or hold wrong ones. Somebody may delete a key, and a store that is short of memory evicts keys.
-- A round goes over every record, then over every index for members whose record is gone. The record is the truth. Only
-- unfinished closures go onto the agenda. A closure with a damaged record does so only if an index says that it was
-- unfinished, and one whose record is gone only if two indexes say so.
-- A round begins every six hours, and at once when counts that belong together do not fit. The fleet shares one round: its
-- position is in the store, and a step that comes too soon does nothing.
-- KEYS, ARGV[1..2]  see lib/base.lua; inspection  hash, see lib/inspection.lua
-- Uses lib/inspection
-- ARGV[3]  every failure reason, separated by spaces    ARGV[4]  the lease of an attempt (ms)
-- Returns  { ms until the next step, what happened: "found" (the first damage of a round), "ended" (a round that has found
--          some) or "", closures put onto the agenda, put into an index, wrong entries taken off, put aside, records that
--          cannot be read and are in no index (all in this round), references of such records that this step has met, … }

local LEASE = tonumber(ARGV[4])
local STEP = 100                          -- keys looked at in one step: a few milliseconds
local HURRY, STROLL, IDLE = 20, 1000, 10000  -- pauses between steps (ms): after damage, without damage, between rounds
local ROUND = 6 * 3600000                 -- how long after a round the next one begins (ms)
local WHY = 'the agenda or an index had lost closures, or held them wrongly'

local state = inspection()
local met = {}

local PHASES = { 'records', 'agenda', 'dispatched', 'open' }
for name in pairs(NEEDED) do PHASES[#PHASES + 1] = name end
for reason in string.gmatch(ARGV[3], '%S+') do PHASES[#PHASES + 1] = 'failed:' .. reason end
table.sort(PHASES, function(a, b) return b ~= 'records' and (a == 'records' or a < b) end)

-- How often this round has found a kind of damage.
local function found(what)
  return as_time(state[what]) or 0
end

local function count(what)
  keep(state, what, found(what) + 1)
end

-- When to look at a closure whose entry on the agenda is lost (ms). A call may be in flight, so its lease gets time to end.
-- The last attempt in the history tells how long a retry was to wait.
local function plan(c)
  if c.s == 'closing' then return NOW + LEASE end
  if c.s ~= 'retrying' then return NOW end
  local at, took, wait = string.match(c.h and c.h[#c.h] or '',
    '^(%d+)|[^|]*|[^|]*|[^|]*|[^|]*|[^|]*|(%d*)|[^|]*|retry in ([%d.]+) s|')
  if not tonumber(wait) then return NOW end
  local pause = tonumber(wait) * 1000 + 100  -- the history rounds it
  return math.max(NOW, math.min(NOW + pause, at + (tonumber(took) or 0) + pause))
end

local function drop(index, ref)
  if redis.call('ZREM', P .. index, ref) == 1 then count('stale') end
end

local function put(index, ref, at, what)
  if as_time(redis.call('ZSCORE', P .. index, ref)) then return end
  redis.call('ZADD', P .. index, at, ref)
  count(what)
end

-- When the closure entered its state (ms), as far as its record tells.
local function entered(c)
  if c.s == 'closing' then return NOW end
  return as_time(string.match(c.h and c.h[#c.h] or '', '^%d+')) or c.a
end

-- Makes a record and its group's hold agree. The hold decides, and a record that says `held` brings a lost hold back.
local function put_hold_right(ref, c)
  if c.s == 'held' and not is_held(ref) then
    restore_hold(ref)
    count('index')
  elseif is_held(ref) and (c.s == 'queued' or c.s == 'retrying' or c.s == 'failed') then
    put_on_hold(ref, c)
    save(ref, c)
    count('index')
  end
end

-- Makes every index agree with a record.
local function put_right(ref, c)
  put_hold_right(ref, c)
  for name in pairs(NEEDED) do
    if name ~= c.s then drop(name, ref) end
  end
  put(c.s, ref, entered(c), 'index')
  if c.s == 'failed' then put('failed:' .. c.r, ref, entered(c), 'index') end
  if c.s ~= 'queued' then drop('dispatched', ref) end
  if c.s ~= 'queued' and waits_until(ref) then drop('waiting', ref) end
  if c.s == 'queued' and not_before(c) > NOW and not waits_until(ref) then wait_until(ref, not_before(c)) end
  if UNFINISHED[c.s] then
    put('open', ref, c.a, 'index')
    put('agenda', ref, plan(c), 'agenda')
  else
    drop('open', ref)
    drop('agenda', ref)
  end
end

-- Handles a closure whose record is gone or damaged. An index that says it had ended outweighs those that say unfinished.
local function guess(ref, damaged)
  local hold = hold_of(ref)
  if hold and damaged then put('held', ref, as_time(hold.at) or NOW, 'index') end
  if has_ended(ref) or hold then
    for _, index in ipairs(OF_UNFINISHED) do drop(index, ref) end
    return
  end
  local lists = lists_of(ref)
  if #lists > 1 or damaged and lists[1] then
    put('agenda', ref, NOW, 'agenda')
  elseif damaged then
    count('unknown')
    met[#met + 1] = ref
  elseif lists[1] then
    put_aside(lists[1], ref)
    count('aside')
  end
end

local function look_at_record(key)
  local ref = string.sub(key, #P + 3)
  if not is_reference(ref) then return end
  local c, raw = load(ref)
  if c then put_right(ref, c) elseif raw then guess(ref, true) end
end

local function look_at_member(index, ref)
  local reason = string.match(index, '^failed:(.+)$')
  if not is_reference(ref) then
    put_aside(index, ref)
    count('aside')
  elseif reason then
    local c = load(ref)
    if c and not (c.s == 'failed' and c.r == reason) then drop(index, ref) end
  elseif redis.call('EXISTS', P .. 'c:' .. ref) == 0 then
    guess(ref, false)
  end
end

-- Looks at the next few keys of a phase. Returns the next cursor, "0" at the end, and how many keys it looked at.
local function look_at_some(phase, cursor)
  if phase == 'records' then
    local page = redis.call('SCAN', cursor, 'MATCH', P .. 'c:*', 'COUNT', STEP)
    for _, key in ipairs(page[2]) do look_at_record(key) end
    return page[1], STEP
  end
  local page = redis.call('ZSCAN', P .. phase, cursor, 'COUNT', STEP)
  for i = 1, #page[2], 2 do look_at_member(phase, page[2][i]) end
  return page[1], #page[2] / 2
end

-- Goes over as many phases as one step has room for. Returns whether the round has ended.
local function step()
  local phase, cursor, room = tonumber(state.phase), state.cursor or '', STEP
  if not (PHASES[phase] and #cursor < 20 and string.find(cursor, '^%d+$')) then phase, cursor = 1, '0' end
  while PHASES[phase] and room > 0 do
    local looked
    cursor, looked = look_at_some(PHASES[phase], cursor)
    room = room - looked
    if cursor == '0' then phase = phase + 1 end
  end
  keep(state, 'phase', phase)
  keep(state, 'cursor', cursor)
  return not PHASES[phase]
end

-- What this round has put right.
local function repairs()
  return found('agenda') + found('index') + found('stale') + found('aside')
end

local function result(wait, word)
  local told = { wait, word }
  for _, what in ipairs(DAMAGES) do told[#told + 1] = found(what) end
  for _, ref in ipairs(met) do told[#told + 1] = ref end
  return told
end

-- Told at the beginning and at the end of a round that has found something: what it has found until then.
local function notice_damage(kind)
  local told, all = {}, 0
  for _, what in ipairs(DAMAGES) do told[what], all = found(what), all + found(what) end
  if all > 0 and is_news(kind, '', SELDOM_MS) then notice(kind, told) end
end

local function begin()
  local differ = difference(state)
  local hurry = not as_time(state.ended) or differ ~= FITS and differ ~= state.accepted
  if not hurry and NOW - state.ended >= 0 and NOW - state.ended < ROUND then return false end
  redis.call('HDEL', P .. 'inspection', unpack(DAMAGES))
  for _, what in ipairs(DAMAGES) do state[what] = nil end
  keep(state, 'pause', hurry and HURRY or STROLL)
  keep(state, 'began', differ)
  keep(state, 'phase', 1)
  keep(state, 'cursor', '0')
  return true
end

-- Ends a round. A difference is accepted only after a whole round that corrected nothing and in which nothing changed.
-- Otherwise another round begins, because entries may have been lost behind the position of this one.
local function finish()
  if state.audit then audited(state.audit, repairs(), {}) end
  notice_damage('ledger_rebuilt')
  redis.call('HDEL', P .. 'inspection', 'phase', 'cursor', 'audit')
  keep(state, 'ended', string.format('%.0f', NOW))
  local differ = difference(state)
  if repairs() == 0 and differ == state.began then
    keep(state, 'closures', closures_indexed())
    keep(state, 'accepted', difference(state))
    differ = FITS
  end
  return result(differ == FITS and IDLE or HURRY, repairs() + found('unknown') > 0 and 'ended' or '')
end

local function go_on()
  local before = repairs()
  local ended = step()
  local first = before == 0 and repairs() > 0
  if first then
    keep(state, 'audit', redis.call('XADD', P .. 'audit', '*', 'by', 'closer', 'action', 'rebuild', 'filter', '',
      'matched', 0, 'why', WHY))
    notice_damage('ledger_damaged')
  end
  if ended then return finish() end
  local pause = first and HURRY or as_time(state.pause) or STROLL
  keep(state, 'pause', pause)
  keep(state, 'next', string.format('%.0f', NOW + pause))
  return result(pause, first and 'found' or '')
end

expect_indexes()
expect('stream', { 'rejected', 'audit' })
local early = (as_time(state.next) or 0) - NOW
if state.phase and early > 0 and early <= STROLL then return result(math.ceil(early), '') end
if not state.phase and not begin() then return result(IDLE, '') end
return go_on()
