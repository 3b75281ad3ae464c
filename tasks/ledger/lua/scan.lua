#!lua flags=no-writes
-- Looks through a stretch of closures in the order in which they entered their states, and returns those that match.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  what must match, JSON: { indexes: states or failed:{reason}; since, until: entered its state (ms);
--          statuses, codes, sources: lists, of the last attempt and of the event; over: more attempts than this;
--          prefix: of the reference; text: anywhere in identities and history, in either case }
-- ARGV[4]  newest or oldest first
-- ARGV[5..7]  where the last stretch ended: time (ms), index and reference; "" to begin
-- ARGV[8]  most closures to look at    ARGV[9]  most to return
-- ARGV[10] what to return: records, references, or counts by reason, source or code
-- Returns  { time, index and reference where this stretch ended ("" when there is no more), then
--            records:    reference, record, when it entered its state (ms), until when it waits (ms) or "", state, its hold
--                        (JSON, see lib/holds.lua) or "", …
--            references: reference, state, when it entered its state (ms), …
--            counts:     value ("" for none), count, oldest: when it entered its state (ms), and its reference, … }

local want, newest = cjson.decode(ARGV[3]), ARGV[4] == 'newest'
local budget, room, wanted = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local must_decode = want.statuses or want.codes or want.sources or want.over or want.text
  or wanted ~= 'records' and wanted ~= 'references'
local BLOCK = must_decode and 100 or 500

-- The order -------------------------------------------------------------------------------------------------------

-- Compares as the store orders members: by bytes, not by locale.
local function bytes_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- How many members of an index stand before (score, ref).
local function rank(index, score, ref)
  local low = redis.call('ZCOUNT', index, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', index, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if bytes_before(redis.call('ZRANGE', index, middle, middle)[1], ref) then low = middle + 1 else high = middle end
  end
  return low
end

-- The part of an index that is still to be looked at, as ranks [low, high). Closures that entered their states in the same
-- millisecond are ordered by index, and by bytes inside an index. `place` is this index's place relative to the one in
-- which the last stretch ended: 0 for that one, nil at the beginning.
local function part(name, place)
  local index = P .. name
  local low = want.since and redis.call('ZCOUNT', index, '-inf', '(' .. want.since) or 0
  local high = redis.call('ZCOUNT', index, '-inf', want['until'] or '+inf')
  if place and newest then
    local seen = place > 0 and '(' .. ARGV[5] or ARGV[5]
    high = math.min(high, place == 0 and rank(index, ARGV[5], ARGV[7]) or redis.call('ZCOUNT', index, '-inf', seen))
  elseif place then
    local seen = place > 0 and '(' .. ARGV[5] or ARGV[5]
    low = math.max(low, place == 0 and rank(index, ARGV[5], ARGV[7] .. '\0') or redis.call('ZCOUNT', index, '-inf', seen))
  end
  return { index = index, name = name, state = string.match(name, '^%a+'), low = low, high = high, block = {}, at = 1 }
end

local function keys(block)
  local names = {}
  for i = 1, #block, 2 do names[#names + 1] = P .. 'c:' .. block[i] end
  return unpack(names)
end

-- Reads the next block of a part. The block is always oldest first; the caller walks it either way. False at the end.
local function read(p)
  if p.low >= p.high then return false end
  local from = newest and math.max(p.low, p.high - BLOCK) or p.low
  local to = newest and p.high or math.min(p.high, p.low + BLOCK)
  p.block = redis.call('ZRANGE', p.index, from, to - 1, 'WITHSCORES')
  if newest then p.high, p.at = from, #p.block - 1 else p.low, p.at = to, 1 end
  p.score = tonumber(p.block[p.at + 1])
  p.raw = must_decode and redis.call('MGET', keys(p.block)) or {}
  return true
end

local parts = {}
do
  local ended = 0
  for i, name in ipairs(want.indexes) do if name == ARGV[6] then ended = i end end
  for i, name in ipairs(want.indexes) do
    local p = part(name, ARGV[5] ~= '' and i - ended or nil)
    if read(p) then parts[#parts + 1] = p end
  end
end

local function go_on(i)
  local p = parts[i]
  p.at = p.at + (newest and -2 or 2)
  if p.block[p.at] then
    p.score = tonumber(p.block[p.at + 1])
  elseif not read(p) then
    table.remove(parts, i)
  end
end

-- The next closure of all parts: its reference, when it entered its state (ms), its part, and its record.
local function next_one()
  local best = 1
  for i = 2, #parts do
    local a, b = parts[i].score, parts[best].score
    if newest and a >= b or not newest and a < b then best = i end
  end
  local p = parts[best]
  if not p then return nil end
  local ref, at, raw = p.block[p.at], p.score, p.raw[(p.at + 1) / 2]
  go_on(best)
  return ref, at, p, raw
end

-- What matches -----------------------------------------------------------------------------------------------------

local function set(list)
  if not list then return nil end
  local members = {}
  for _, value in ipairs(list) do members[value] = true end
  return members
end

local statuses, codes, sources = set(want.statuses), set(want.codes), set(want.sources)
local text = want.text and string.lower(want.text)

-- A record that matches has one text of each of these lists in its JSON. Most other records need not be decoded.
local needles = {}
local function needle(list, before, after)
  if not list then return end
  local any = {}
  for i, value in ipairs(list) do any[i] = before .. string.sub(cjson.encode(value), 2, -2) .. after end
  needles[#needles + 1] = any
end
needle(want.statuses, '|', '|')
needle(want.codes, '|', '|')
needle(want.sources, '"e":"', '"')
local encoded = want.text and string.lower(string.sub(cjson.encode(want.text), 2, -2))

local function holds_one(raw, any)
  for _, one in ipairs(any) do
    if string.find(raw, one, 1, true) then return true end
  end
  return false
end

local function may_match(ref, raw)
  for _, any in ipairs(needles) do
    if not holds_one(raw, any) then return false end
  end
  if want.over and tonumber(string.match(raw, '"n":(%d+)') or 0) <= want.over then return false end
  return not text or string.find(string.lower(ref .. raw), encoded, 1, true)
end

local function last_reply(c)
  return string.match(c.h and c.h[#c.h] or '|||||', '^[^|]*|[^|]*|[^|]*|([^|]*)|([^|]*)')
end

local function holds_text(ref, c)
  for _, value in ipairs({ ref, c.e or '', c.i or '', c.u or '', unpack(c.h or {}) }) do
    if string.find(string.lower(value), text, 1, true) then return true end
  end
  return false
end

local function matches(ref, c)
  local status, code = last_reply(c)
  return not (statuses and not statuses[status] or codes and not codes[code] or sources and not sources[c.e]
    or want.over and (c.n or 0) <= want.over or text and not holds_text(ref, c))
end

-- The record, decoded where that is needed ({} where not); nil when it does not match.
local function match(ref, raw)
  if want.prefix and string.sub(ref, 1, #want.prefix) ~= want.prefix then return nil end
  if not must_decode then return {} end
  if not raw or not may_match(ref, raw) then return nil end
  local c = decode(raw)
  return c and matches(ref, c) and c or nil
end

-- What is returned -------------------------------------------------------------------------------------------------

local found, groups, returned = { '', '', '' }, {}, 0

local function add(...)
  for _, value in ipairs({ ... }) do found[#found + 1] = value end
end

local function tally(value, at, ref)
  at = clamp(at)
  local group = groups[value] or { 0, at, ref }
  if at < group[2] then group[2], group[3] = at, ref end
  group[1] = group[1] + 1
  groups[value] = group
end

-- The record's text; "" when it is lost or another program has overwritten it. Such a closure is shown as unreadable.
local function text_of(ref)
  local raw = redis.pcall('GET', P .. 'c:' .. ref)
  return type(raw) == 'string' and raw or ''
end

local function take(ref, at, state, c, raw)
  if not is_reference(ref) then return end  -- inspect.lua puts it aside
  returned = returned + 1
  if wanted == 'references' then
    local n = #found
    found[n + 1], found[n + 2], found[n + 3] = ref, state, string.format('%.0f', clamp(at))
  elseif wanted == 'records' then
    raw = raw or text_of(ref)
    local plan = state == 'retrying' and 'agenda' or state == 'queued' and 'waiting'
    local due = plan and as_time(redis.call('ZSCORE', P .. plan, ref))
    add(ref, raw, string.format('%.0f', clamp(at)), due and string.format('%.0f', due) or '', state,
      is_held(ref) and redis.call('HGET', P .. 'holds', ref) or '')
  else
    local _, code = last_reply(c)
    tally(({ reason = c.r, source = c.e, code = code })[wanted] or '', at, ref)
  end
end

local ref, at, p, raw
while budget > 0 and returned < room do
  ref, at, p, raw = next_one()
  if not ref then break end
  budget = budget - 1
  local c = match(ref, raw)
  if c then take(ref, at, p.state, c, raw) end
end
if ref then found[1], found[2], found[3] = string.format('%.0f', at), p.name, ref end
for value, group in pairs(groups) do add(value, group[1], string.format('%.0f', group[2]), group[3]) end
return found
