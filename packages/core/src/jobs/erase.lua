-- Removes everything of an ended job from Redis.
-- KEYS  1 job hash  2 due zset  3 event stream  4 ended zset  5 tenant's job index  6 tenant's delivery index
-- ARGV  1 job id  2 run the caller saw (a job that was retried since is not the one to erase)
-- Returns 'erased' | 'running' (or another run) | 'gone'
local record = redis.call('HMGET', KEYS[1], 'status', 'delivery', 'run')
local status = record[1]
if not status then
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  return 'gone'
end
if status == 'in_progress' or status == 'cancelling' or record[3] ~= ARGV[2] then return 'running' end
if record[2] then
  redis.call('DEL', 'fana:delivery:' .. record[2])
  redis.call('ZREM', KEYS[6], record[2])
  redis.call('ZREM', KEYS[2], record[2])
end
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
return 'erased'
