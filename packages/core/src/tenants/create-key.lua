-- Writes a new API key with its look-up by hash and its places in the lists.
-- KEYS  1 record hash, 2 hash → id, 3 zset of all keys, 4 zset of the tenant's keys
-- ARGV  1 id, 2 created ms, then field, value, field, value ...
-- Returns 1, or 0 when the record exists already (nothing is written then).
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('SET', KEYS[2], ARGV[1])
-- Keys made in the same millisecond keep their order: the place in the list is the score, ids only break ties.
local count = redis.call('ZCARD', KEYS[3])
local score = string.format('%.0f', tonumber(ARGV[2]) * 1000 + count % 1000)
redis.call('ZADD', KEYS[3], score, ARGV[1])
redis.call('ZADD', KEYS[4], score, ARGV[1])
return 1
