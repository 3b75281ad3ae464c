-- Counts what happens, for metrics and rates. A script adds while it works. `with_look` writes the sums at its end, in the
-- same step as the changes.
--   tally  hash  {name} → how often it has happened since the ledger began, see tally.py
--                minute: the last one that has a mark    last_event: when the last event came (ms)
--   marks  hash  {minute % MARKS} → "minute events attempts closed failures": how many there had been of each before the
--                first thing that was counted in that minute. So the hash never grows
-- Nothing here fails a script: another program's key under these names must not stop work, and is not counted upon.

local tallies = { MARKS = 61, OF_RATES = { 'events', 'attempts', 'closed', 'failures' }, added = {} }
tallies.VERDICT = '^' .. string.rep('[^|]*|', 7) .. '(%l+)|'  -- finds the eighth field of a packed attempt

function tallies.add(name, number)
  tallies.added[name] = (tallies.added[name] or 0) + (number or 1)
end

-- Notes that events came now.
function tallies.event_came()
  redis.pcall('HSET', P .. 'tally', 'last_event', string.format('%.0f', NOW))
end

-- The sum of all counts whose name begins with each of OF_RATES, in their order.
function tallies.sums()
  local sums, held = {}, redis.pcall('HGETALL', P .. 'tally')
  for i = 1, #held, 2 do
    local kind = string.match(held[i], '^(%a+):')
    if kind and #held[i + 1] < 16 then sums[kind] = (sums[kind] or 0) + (tonumber(held[i + 1]) or 0) end
  end
  local ordered = {}
  for i, kind in ipairs(tallies.OF_RATES) do ordered[i] = string.format('%.0f', sums[kind] or 0) end
  return table.concat(ordered, ' ')
end

function tallies.mark()
  local minute = math.floor(NOW / 60000)
  if tonumber((redis.pcall('HGET', P .. 'tally', 'minute'))) == minute then return end
  local mark = string.format('%.0f ', minute) .. tallies.sums()
  redis.pcall('HSET', P .. 'marks', string.format('%.0f', minute % tallies.MARKS), mark)
  redis.pcall('HSET', P .. 'tally', 'minute', string.format('%.0f', minute))
end

function tallies.write()
  if not next(tallies.added) then return end
  tallies.mark()
  for name, number in pairs(tallies.added) do
    local counted = redis.pcall('HINCRBY', P .. 'tally', name, number)
    if type(counted) == 'table' then redis.pcall('HSET', P .. 'tally', name, number) end  -- it was no number
  end
end
