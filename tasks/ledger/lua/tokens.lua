#!lua flags=no-writes
-- Reads tokens. It also works when the store is full or a replica, because operators look at such times.
-- KEYS, ARGV[1..2]  see lib/base.lua; tokens, tokens_used  see token.lua
-- ARGV[3..]  digests; none: all tokens
-- Returns    { the time (ms), how many tokens there are, then for each: digest, record (JSON), last use (ms) or "" }. A digest
--            that is not there is left out.

local count = redis.call('HLEN', P .. 'tokens')
local found = { string.format('%.0f', NOW), count }

local function add(digest, record)
  local used = redis.pcall('HGET', P .. 'tokens_used', digest)
  for _, word in ipairs({ digest, record, type(used) == 'string' and used or '' }) do found[#found + 1] = word end
end

if #ARGV > 2 then
  for i = 3, #ARGV do
    local record = redis.call('HGET', P .. 'tokens', ARGV[i])
    if record then add(ARGV[i], record) end
  end
else
  local held = redis.call('HGETALL', P .. 'tokens')
  for i = 1, #held, 2 do add(held[i], held[i + 1]) end
end
return found
