-- Raises the ledger's version when every worker knows the next one. Until then nothing is written that the others cannot read.
local function rise()
  local version = math.max(gate.version or 0, fleet('version', 0))
  local from = version
  if version < VERSION and #workers_before(VERSION) == 0 then version = VERSION end
  if version ~= fleet('version', 0) then redis.pcall('HSET', P .. 'policy', 'version', version) end
  if version ~= (gate.version or 0) then gate_set('version', version) end
  if version > from and from > 0 then notice('ledger_version', { from = from, to = version }) end
end
