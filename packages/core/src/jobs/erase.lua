-- Removes everything of an ended job from Redis, the deliveries of all its runs included.
-- KEYS  1 job hash  2 due zset  3 event stream  4 ended zset  5 tenant's job index
-- ARGV  1 job id  2 run the caller saw (a job that was retried since is not the one to erase)
--       3 '1' = the job has expired: a delivery still pending is sent all the same, record-delivery.lua removes it at its end
--       4 tenant
-- Returns 'erased' | 'running' (or another run) | 'gone'
-- @include ../webhooks/deliveries.lua
local record = redis.call('HMGET', KEYS[1], 'status', 'run')
local status = record[1]
if not status then
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  return 'gone'
end
if status == 'in_progress' or status == 'cancelling' or record[2] ~= ARGV[2] then return 'running' end
erase_deliveries({ id = ARGV[1], key = KEYS[1], tenant = ARGV[4] }, ARGV[3] == '1')
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
return 'erased'
