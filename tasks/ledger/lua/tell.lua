-- Writes a notice of what no single script does: a bulk action has ended.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  the kind    ARGV[4]  its fields, a JSON object
-- Returns  OK

notice(ARGV[3], cjson.decode(ARGV[4]))
return redis.status_reply('OK')
