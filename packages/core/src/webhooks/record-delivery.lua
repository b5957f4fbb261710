-- Writes down one delivery attempt. The end of a delivery lets its job expire; a delivery whose job has expired already goes at its end.
-- KEYS  1 delivery hash  2 due zset  3 ended zset  4 job hash  5 tenant's delivery index
-- ARGV  1 delivery id  2 attempt number  3 attempt (JSON)  4 status after it: pending, delivered, failed  5 next attempt (unix ms, '' = none)
--       6 check after (ms)  7 job id  8 seconds an ended delivery is kept
-- Returns 1, or 0 when this attempt was written down already
local record = redis.call('HMGET', KEYS[1], 'attempt_count', 'status')
if not record[1] or tonumber(record[1]) ~= tonumber(ARGV[2]) - 1 or record[2] ~= 'pending' then return 0 end
redis.call('HSET', KEYS[1], 'attempt:' .. ARGV[2], ARGV[3], 'attempt_count', ARGV[2], 'status', ARGV[4])
if ARGV[4] == 'pending' then
  redis.call('HSET', KEYS[1], 'next_ms', ARGV[5])
  redis.call('ZADD', KEYS[2], string.format('%.0f', tonumber(ARGV[5]) + tonumber(ARGV[6])), ARGV[1])
  return 1
end
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  return 1
end
redis.call('HDEL', KEYS[1], 'next_ms')
redis.call('EXPIRE', KEYS[1], ARGV[8])
local job = redis.call('HMGET', KEYS[4], 'delivery', 'expires_ms')
if job[1] == ARGV[1] and job[2] then redis.call('ZADD', KEYS[3], job[2], ARGV[7]) end
return 1
