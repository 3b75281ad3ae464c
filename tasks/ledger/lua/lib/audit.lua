-- Writes the audit of operators' actions.
-- An action is announced by an entry { by, action, filter, matched, why } before anything changes. The script
-- that makes a change adds, in the same step, entries { of: the announcement's id, changed, skipped: JSON {why: n} }.

local function audited(of, changed, skipped)
  if of ~= '' then
    redis.call('XADD', P .. 'audit', '*', 'of', of, 'changed', changed, 'skipped', cjson.encode(skipped))
  end
end

-- Writes an operator's action into the record; the caller saves.
local function sign(c, action, of)
  if of == '' then return end
  c.q = c.q or {}
  c.q[#c.q + 1] = string.format('%.0f', NOW) .. '|' .. action .. '|' .. of
  if #c.q > ACTIONS_LIMIT then table.remove(c.q, 1) end
end
