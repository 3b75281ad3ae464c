-- Gives the ledger a name, unless it has one.
-- KEYS, ARGV[1..2]  see lib/base.lua; policy  hash  field id: the ledger's name
-- ARGV[3]  the name to give; unique among ledgers
-- Returns  the ledger's name

redis.call('HSETNX', P .. 'policy', 'id', ARGV[3])
return redis.call('HGET', P .. 'policy', 'id')
