-- Changes fields of a webhook endpoint, if any differs, and tells every process.
-- KEYS  1 record hash
-- ARGV  1 now (unix ms)  2 channel  3… field, value pairs ('' takes the field away)
-- Returns 'changed' | 'unchanged' | 'gone'
local tenant = redis.call('HGET', KEYS[1], 'tenant')
if not tenant then return 'gone' end
local changed = false
for at = 3, #ARGV, 2 do
  local field, value = ARGV[at], ARGV[at + 1]
  if (redis.call('HGET', KEYS[1], field) or '') ~= value then
    changed = true
    if value == '' then redis.call('HDEL', KEYS[1], field) else redis.call('HSET', KEYS[1], field, value) end
  end
end
if not changed then return 'unchanged' end
redis.call('HSET', KEYS[1], 'updated_ms', ARGV[1])
redis.call('PUBLISH', ARGV[2], tenant)
return 'changed'
