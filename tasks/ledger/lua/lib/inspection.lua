-- The state of the ledger's inspection, see inspect.lua. Fields of the hash `inspection`:
--   phase, cursor  the position of the current round; absent: there is none
--   pause, next    the pause between two steps (ms), and the earliest time of the next step (ms)
--   ended          when the last round ended (ms)
--   closures       how many closures the states' indexes must hold; receiving adds to it, pruning subtracts
--   began          the difference when the round began, see `difference`
--   accepted       the difference that remained after a round had looked at everything
--   audit          id of the round's entry in the audit, once it has found something
--   agenda, index, stale, aside, unknown   what the round has found, see DAMAGES

-- In this order: put onto the agenda, put into an index, wrong entries taken off, put aside, unreadable records in no index.
local DAMAGES = { 'agenda', 'index', 'stale', 'aside', 'unknown' }
local FITS = '0 0 0 0'

local function inspection()
  local raw, fields = redis.call('HGETALL', P .. 'inspection'), {}
  for i = 1, #raw, 2 do fields[raw[i]] = raw[i + 1] end
  return fields
end

local function keep(fields, name, value)
  fields[name] = tostring(value)
  redis.call('HSET', P .. 'inspection', name, fields[name])
end

local function size(index)
  return redis.call('ZCARD', P .. index)
end

local function closures_indexed()
  local all = 0
  for name in pairs(NEEDED) do all = all + size(name) end
  return all
end

-- By how much counts that belong together differ, as four numbers. Every script changes both sides of each in one step.
local function difference(fields)
  local unfinished, failed = 0, 0
  for name in pairs(UNFINISHED) do unfinished = unfinished + size(name) end
  for reason in string.gmatch(ARGV[3], '%S+') do failed = failed + size('failed:' .. reason) end
  return string.format('%d %d %d %d', size('agenda') - unfinished, size('open') - unfinished, size('failed') - failed,
    closures_indexed() - (as_time(fields.closures) or 0))
end

-- Adds to the count of closures when some were received or pruned. An invalid count does not stop events from being received.
local function count_closures(number)
  if number == 0 then return end
  local counted = redis.pcall('HINCRBY', P .. 'inspection', 'closures', number)
  if type(counted) == 'table' then redis.pcall('HDEL', P .. 'inspection', 'closures') end
end
