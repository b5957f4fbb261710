-- Writes a new webhook endpoint and tells every process.
-- KEYS  1 record hash  2 zset of the tenant's endpoints
-- ARGV  1 id  2 created (unix ms)  3 most endpoints of a tenant  4 channel  5 tenant  6… field, value pairs
-- Returns 'created' | 'exists' | 'full' (nothing is written then)
if redis.call('EXISTS', KEYS[1]) == 1 then return 'exists' end
local count = redis.call('ZCARD', KEYS[2])
if count >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], 'tenant', ARGV[5], 'created_ms', ARGV[2], 'updated_ms', ARGV[2], unpack(ARGV, 6))
-- Endpoints made in the same millisecond keep their order: a later one has the higher score.
local newest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local score = math.max(ARGV[2] * 1000, newest[2] and newest[2] + 1 or 0)
redis.call('ZADD', KEYS[2], string.format('%.0f', score), ARGV[1])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 'created'
