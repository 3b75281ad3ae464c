-- Corrects a closure whose state differs from what the API says of its group.

local reconciling = {}

function reconciling.correct(ref, c, says)
  if says == 'closed' then
    close(ref, c, 'already_closed')
  else
    c.o, c.r = nil, 'reopened'
    move(ref, c, 'failed')
  end
end

-- A closed group stays closed, so "closed" counts whatever state the ledger holds. "open" and "locked" count only against
-- "closed", because no other state claims that the group is closed. `since`: when the closure was closed as the API was asked
-- (ms). `audit`: the action's announcement, "" for none. Returns "done", "unknown", "agree", or "moved on".
function reconciling.reconcile(ref, says, since, audit)
  local c = load(ref)
  if not c then return 'unknown' end
  if (says == 'closed') == (c.s == 'closed') then return 'agree' end
  if says ~= 'closed' and tonumber(redis.call('ZSCORE', P .. 'closed', ref)) ~= tonumber(since) then return 'moved on' end
  reconciling.correct(ref, c, says)
  sign(c, 'verify', audit)
  save(ref, c)
  return 'done'
end
