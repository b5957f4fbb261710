-- Gives a chunk, or the step of a whole batch, back to the queue: whoever takes it next goes on with what has not ended.
-- KEYS  1 hash of the chunk or batch
-- ARGV  1 lease token
-- Returns 1, or 0 when another worker holds it
if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'lease', 'lease_ms')
return 1
