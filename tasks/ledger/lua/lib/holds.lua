-- Holds. A held group is not called, whatever comes, until somebody releases it.
--   holds  hash  reference → JSON { by, why, door, at (ms); from: the state that the closure was taken from, as in its
--                record, for when that is damaged; and what cancel events have added, see cancel.lua }
-- This hash decides. A group is held while it is in here, even if its record is damaged or lost. The record of a held
-- closure has the state `held`; that of one that an attempt is under way for stays `closing` until the attempt ends.

local any_hold  -- whether there are holds at all; nil: not looked up yet

local function is_held(ref)
  if any_hold == nil then any_hold = redis.call('HLEN', P .. 'holds') > 0 end
  return any_hold and redis.call('HEXISTS', P .. 'holds', ref) == 1
end

-- The hold of a group; nil when there is none. One that is damaged holds all the same.
local function hold_of(ref)
  if not is_held(ref) then return nil end
  local readable, found = pcall(cjson.decode, redis.call('HGET', P .. 'holds', ref))
  return readable and type(found) == 'table' and found or {}
end

local function write_hold(ref, hold)
  hold.at = hold.at or NOW
  redis.call('HSET', P .. 'holds', ref, cjson.encode(hold))
  any_hold = true
end

-- Keeps in the hold, too, which state the closure was taken from.
local function note_from(ref, from)
  local hold = hold_of(ref)
  if hold and hold.from ~= from then
    hold.from = from
    write_hold(ref, hold)
  end
end

-- Writes a hold whose entry in `holds` is lost, because the record or the index `held` still tells of it.
local function restore_hold(ref)
  write_hold(ref, { by = 'closer', why = 'it was held, but the store has lost by whom and why' })
end

-- Ends a hold. The caller has moved the closure, or does so.
local function drop_hold(ref)
  if not is_held(ref) then return end
  redis.call('HDEL', P .. 'holds', ref)
  redis.call('ZREM', P .. 'ask', ref)
  redis.pcall('ZREM', P .. 'cancelled', ref)
end
