-- Gives a webhook endpoint a new secret. The one before signs on until a time, or no longer.
-- KEYS  1 record hash
-- ARGV  1 secret (encrypted)  2 its hint  3 when the one before ends (unix ms, '' = now)  4 now (unix ms)
-- Returns 1, or 0 when the endpoint is gone
local before = redis.call('HGET', KEYS[1], 'secret')
if not before then return 0 end
redis.call('HSET', KEYS[1], 'secret', ARGV[1], 'hint', ARGV[2], 'updated_ms', ARGV[4])
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 'old_secret', 'old_secret_until_ms')
else
  redis.call('HSET', KEYS[1], 'old_secret', before, 'old_secret_until_ms', ARGV[3])
end
return 1
