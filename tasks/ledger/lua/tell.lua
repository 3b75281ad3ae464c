-- Writes a notice of an event that spans several scripts, such as the end of a bulk action.
-- KEYS, ARGV[1..2]  see lib/base.lua
-- ARGV[3]  the notice's kind    ARGV[4]  its fields, a JSON object
-- Returns  OK

notice(ARGV[3], cjson.decode(ARGV[4]))
return redis.status_reply('OK')
