-- The inspection of the ledger, see inspect.lua. Its hash `inspection`:
--   phase, cursor  where the round that goes on stands; absent: none goes on
--   pause, next    between two steps, and not before when the next (ms)
--   ended          when the last round ended (ms)
--   closures       how many closures the states' indexes must hold: receiving adds, forgetting takes away
--   began          what did not fit as the round began, see `difference`
--   accepted       what does not fit though a round has looked at everything
--   audit          id of the round's entry in the audit, once it has found something
--   agenda, index, stale, aside, unknown   what the round has found, see DAMAGES

-- Put onto the agenda, put into an index, wrong entries taken off, put aside, records in no index that cannot be read.
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

-- Numbers that belong together, and by how much they do not fit. Every step changes both sides of each at once.
local function difference(fields)
  local unfinished, failed = 0, 0
  for name in pairs(UNFINISHED) do unfinished = unfinished + size(name) end
  for reason in string.gmatch(ARGV[3], '%S+') do failed = failed + size('failed:' .. reason) end
  return string.format('%d %d %d %d', size('agenda') - unfinished, size('open') - unfinished, size('failed') - failed,
    closures_indexed() - (as_time(fields.closures) or 0))
end

-- Closures have come, or were forgotten. A count that is spoilt does not keep events from being received.
local function count_closures(number)
  if number == 0 then return end
  local counted = redis.pcall('HINCRBY', P .. 'inspection', 'closures', number)
  if type(counted) == 'table' then redis.pcall('HDEL', P .. 'inspection', 'closures') end
end
