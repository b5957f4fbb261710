-- Gives a chunk back to the queue: whoever takes it next goes on with the lines that have not ended.
-- KEYS  1 chunk hash
-- ARGV  1 lease token
-- Returns 1, or 0 when another worker holds it
if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'lease', 'lease_ms')
return 1
