-- Makes the job the owner of a linked picture that was just stored.
-- KEYS  1 job hash
-- ARGV  1 lease token  2 field of the picture (`picture:` and the SHA-256 of its URL)  3 blob id
-- Returns 1, or 0 when another worker holds the job
if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
