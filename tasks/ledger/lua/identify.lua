-- Names the ledger: it takes the name that it is offered, unless it has one.
-- KEYS, ARGV[1..2]  see lib/base.lua; policy  hash  field id: the ledger's name
-- ARGV[3]  a name that no other ledger has
-- Returns  the ledger's name

redis.call('HSETNX', P .. 'policy', 'id', ARGV[3])
return redis.call('HGET', P .. 'policy', 'id')
