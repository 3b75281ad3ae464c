-- Makes, revokes and counts the use of tokens. A token is known by the SHA-256 of its secret; the secret is nowhere.
-- KEYS, ARGV[1..2]  see lib/base.lua
--   tokens       hash  digest → JSON { name, role, created, expires (ms; absent: never), sources, prefixes, by }
--   tokens_used  hash  digest → when it was last used (ms)
-- ARGV[3]  create, revoke or used
-- create   ARGV[4] the digest    ARGV[5] the record, JSON, without its times    ARGV[6] how long it is good for (ms), "" for ever
--          ARGV[7] by whom    ARGV[8] why    ARGV[9] the door
-- revoke   ARGV[4] the name    ARGV[7..9] as for create
-- used     ARGV[4] the digest
-- Returns  create: "", or the digest of the token that has the name already. revoke: the digest, or "" where there is no
--          such token. used: OK
-- What is made or revoked is written into the audit in the same step, see lib/audit.lua.

local tokens = P .. 'tokens'

local function named(name)
  local held = redis.call('HGETALL', tokens)
  for i = 1, #held, 2 do
    local readable, token = pcall(cjson.decode, held[i + 1])
    if readable and type(token) == 'table' and token.name == name then return held[i] end
  end
  return ''
end

local function tell(action, name, changed)
  redis.call('XADD', P .. 'audit', '*', 'by', ARGV[7], 'door', ARGV[9], 'action', action, 'selection',
    cjson.encode({ token = name }), 'matched', 1, 'changed', changed, 'why', ARGV[8])
end

expect('hash', { 'tokens', 'tokens_used' })
if ARGV[3] == 'used' then
  -- One that was revoked meanwhile leaves nothing behind.
  if redis.call('HEXISTS', tokens, ARGV[4]) == 1 then redis.call('HSET', P .. 'tokens_used', ARGV[4], NOW) end
  return redis.status_reply('OK')
end

expect('stream', { 'audit' })
if ARGV[3] == 'revoke' then
  local digest = named(ARGV[4])
  if digest == '' then return '' end
  redis.call('HDEL', tokens, digest)
  redis.call('HDEL', P .. 'tokens_used', digest)
  tell('revoke token', ARGV[4], 1)
  return digest
end

local token = cjson.decode(ARGV[5])
local taken = named(token.name)
if taken ~= '' then return taken end
token.created = NOW
token.expires = ARGV[6] ~= '' and NOW + tonumber(ARGV[6]) or nil
redis.call('HSET', tokens, ARGV[4], cjson.encode(token))
tell('create token', token.name, 1)
return ''
