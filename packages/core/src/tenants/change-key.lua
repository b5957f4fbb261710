-- Changes fields of an API key that exists and is not revoked, and tells every process that it changed.
-- KEYS  1 record hash
-- ARGV  1 id, 2 channel, then field, value, field, value ...
-- Returns 'changed' | 'revoked' | 'gone'
local revoked = redis.call('HMGET', KEYS[1], 'tenant', 'revoked_ms')
if not revoked[1] then return 'gone' end
if revoked[2] then return 'revoked' end
if #ARGV > 2 then redis.call('HSET', KEYS[1], unpack(ARGV, 3)) end
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 'changed'
