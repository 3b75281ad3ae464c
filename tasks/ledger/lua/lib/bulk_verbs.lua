-- What bulk actions do to one closure. Each leaves the saving to its caller.

-- The ids of the open actions, the first that was begun first.
function bulk.open_ids()
  local ids = redis.call('ZRANGE', P .. 'actions:open', 0, -1)
  table.sort(ids)
  return ids
end

-- Verbs that have no closure for themselves: a verify only asks, and the items of a replay are rejected events.
bulk.SHARES = { verify = true, replay = true }

-- Every open action that was begun before `id` and runs or waits: { its id, its verb }, without those that share.
function bulk.older(id)
  local older = {}
  for _, other in ipairs(bulk.open_ids()) do
    local verb = other < id and redis.pcall('HGET', bulk.key(other), 'verb')
    if verb and not bulk.SHARES[verb] then older[#older + 1] = { other, verb } end
  end
  return older
end

-- The fields of an action; nil when there is none.
function bulk.read(id)
  local raw, a = redis.call('HGETALL', bulk.key(id)), {}
  for i = 1, #raw, 2 do a[raw[i]] = raw[i + 1] end
  return a.verb and a.state and a.audit and a or nil
end

-- The key of what is left to be done: a recall goes over what its action has changed.
function bulk.left(id, a)
  return a.of and bulk.key(a.of, 'changed') or bulk.key(id, 'items')
end

-- Fails before the first write when a key of the action, or one that all of them share, is another program's.
function bulk.expect(id)
  expect('zset', { 'actions', 'actions:open', 'actions:ended', 'actions:drafts' })
  expect('hash', { 'action:' .. id })
  for _, part in ipairs({ 'items', 'changed', 'not' }) do expect('zset', { 'action:' .. id .. ':' .. part }) end
end

-- Writes fields of an action; nil values are given as false, and remove the field.
function bulk.set(id, a, fields)
  for name, value in pairs(fields) do
    if value == false then redis.call('HDEL', bulk.key(id), name) else redis.call('HSET', bulk.key(id), name, value) end
    a[name] = value ~= false and tostring(value) or nil
  end
end

-- Writes what an operator is about to do into the audit, and counts it. Returns the entry's id.
function bulk.announce(verb, ...)
  tallies.add('actions:' .. verb)
  return redis.call('XADD', P .. 'audit', '*', ...)
end

-- Ends an action, or stops it until somebody resumes it. The notice stands in the same step.
function bulk.finish(id, a, state, because)
  bulk.set(id, a, { state = state, stopped_because = because or false, ended = string.format('%.0f', NOW), holder = false,
    waits_for = false })
  redis.call('ZREM', P .. 'actions:open', id)
  redis.call('ZADD', P .. 'actions:ended', NOW, id)
  if a.verb == 'hold' and state == 'done' then return end  -- its steps have told of it
  notice('action_ended', { action = a.verb, by = a.by, why = a.why, id = a.audit, action_id = id,
    matched = tonumber(a.matched), changed = tonumber(a.changed), stopped = state ~= 'done', because = because })
end

bulk.OF_QUEUED = { 'k', 'm', 'g', 'l', 'f', 'w', 'A', 'Ar' }

function bulk.requeue(ref, c, trigger, lock)
  c.A, c.Ar = nil, nil
  queue_again(ref, c, trigger)
  c.l = lock and 1 or nil
end

function bulk.discard(ref, c)
  c.A, c.Ar = nil, nil
  move(ref, c, 'discarded')
end

-- Gives a closure that an action has changed back the failure that it had, at its place in time.
function bulk.give_back(ref, c, failed_at)
  bulk.count(c.A, 'became:' .. bulk.BECAME[c.s], -1)
  bulk.count(c.A, 'recalled', 1)
  c.r = c.Ar or c.r
  for _, field in ipairs(bulk.OF_QUEUED) do c[field] = nil end
  if c.s == 'held' then
    c.j, c.ja, c.jd = 'failed', failed_at, nil
    note_from(ref, 'failed')
  else
    move(ref, c, 'failed', nil, failed_at)
  end
end

-- An attempt has ended without a call, and the closure was marked to return then.
function bulk.return_marked(ref, c)
  local failed_at, recall = c.Am, c.Ab
  c.Am, c.Ab = nil, nil
  bulk.give_back(ref, c, failed_at)
  bulk.count(recall, 'marked', -1)
  bulk.count(recall, 'changed', 1)
  local audit = redis.pcall('HGET', bulk.key(recall or ''), 'audit')
  if type(audit) ~= 'string' then return end
  sign(c, 'recall', audit)
  redis.pcall('XADD', P .. 'audit', '*', 'of', audit, 'changed', 1, 'skipped', '{}')
end
