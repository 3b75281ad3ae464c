#!lua
-- Freezes what a bulk action is to be done to, in steps, and begins the action. An abandoned draft is deleted, see bulk_prune.lua.
-- KEYS, ARGV[1..2]  see lib/base.lua; other keys  see lib/bulk.lua
-- Uses lib/bulk_verbs
-- ARGV[3]  new       returns the id of a new draft, which has nothing
--          add       ARGV[4] id, ARGV[5..] when it entered its state (ms) and its reference, …; returns 1, or 0: no such draft
--          begin     ARGV[4] id, ARGV[5] who carries it, "" for nobody, ARGV[6] for how long (ms),
--                    ARGV[7] how many fields of the action follow, ARGV[8..] these, then fields of the audit's entry
--                    returns "begun", "no draft" (it is too old), or "older workers: …" (they do not count for a canary, and do not
--                    respect a hold)

local WORD, ID = ARGV[3], ARGV[4]
local DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'

-- The time as text that is short enough to be typed, and sorts as the times do.
local function written(ms)
  local text = ''
  for _ = 1, 9 do
    local digit = ms % 32
    text = string.sub(DIGITS, digit + 1, digit + 1) .. text
    ms = (ms - digit) / 32
  end
  return text
end

local function taken(id)
  return redis.call('EXISTS', bulk.key(id)) == 1 or redis.call('ZSCORE', P .. 'actions:drafts', id)
end

local function new()
  local ms = NOW
  while taken(written(ms)) do ms = ms + 1 end
  redis.call('ZADD', P .. 'actions:drafts', NOW, written(ms))
  return written(ms)
end

local function begin()
  local fields, audit = {}, {}
  for i = 8, #ARGV do
    local list = i < 8 + ARGV[7] and fields or audit
    list[#list + 1] = ARGV[i]
  end
  local a = { verb = '', state = 'running', changed = '0' }
  for i = 1, #fields, 2 do a[fields[i]] = fields[i + 1] end
  local older = (a.canary or a.verb == 'hold') and workers_before(VERSION) or {}
  if #older > 0 then return 'older workers: ' .. table.concat(older, ', ') end
  a.audit = bulk.announce(a.verb, 'bulk', ID, unpack(audit))
  a.created = string.format('%.0f', NOW)
  a.holder = ARGV[5] ~= '' and ARGV[5] or nil
  bulk.set(ID, {}, a)
  redis.call('ZREM', P .. 'actions:drafts', ID)
  redis.call('ZADD', P .. 'actions', NOW, ID)
  redis.call('ZADD', P .. 'actions:open', a.holder and NOW + ARGV[6] or 0, ID)
  return 'begun'
end

bulk.expect(ID or '')
expect('stream', { 'audit' })
if WORD == 'new' then return new() end
local is_draft = redis.call('ZSCORE', P .. 'actions:drafts', ID)
if WORD == 'add' then
  if is_draft then redis.call('ZADD', bulk.key(ID, 'items'), unpack(ARGV, 5)) end
  return is_draft and 1 or 0
end
return is_draft and begin() or 'no draft'
