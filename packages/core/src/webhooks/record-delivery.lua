-- Writes down one delivery attempt, or that a delivery is given up without one. The end of the last one that its owner's end owes lets
-- the owner (a job or a batch) expire; a delivery whose owner has expired already goes at its end.
-- KEYS  1 delivery hash  2 due zset  3 ended zset  4 owner's hash  5 endpoint's delivery index
-- ARGV  1 delivery id  2 attempt number (of the next one, when none was made)  3 attempt (JSON, '' = none was made)
--       4 status after it: pending, delivered, failed  5 next attempt (unix ms, '' = none)  6 check after (ms)  7 owner's id
--       8 seconds an ended delivery is kept
-- Returns 1, or 0 when this attempt was written down already
local record = redis.call('HMGET', KEYS[1], 'attempt_count', 'status')
if not record[1] or tonumber(record[1]) ~= tonumber(ARGV[2]) - 1 or record[2] ~= 'pending' then return 0 end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'attempt:' .. ARGV[2], ARGV[3], 'attempt_count', ARGV[2]) end
redis.call('HSET', KEYS[1], 'status', ARGV[4])
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
local owner = redis.call('HMGET', KEYS[4], 'deliveries', 'expires_ms')
if not owner[2] then return 1 end
for id in string.gmatch(owner[1] or '', '%S+') do
  if redis.call('HGET', 'fana:delivery:' .. id, 'status') == 'pending' then return 1 end
end
redis.call('ZADD', KEYS[3], owner[2], ARGV[7])
return 1
