-- Removes everything of an ended job from Redis, the deliveries of all its runs included.
-- KEYS  1 job hash  2 due zset  3 event stream  4 ended zset  5 tenant's job index  6 tenant's delivery index
-- ARGV  1 job id  2 run the caller saw (a job that was retried since is not the one to erase)
--       3 '1' = the job has expired: a delivery still pending is sent all the same, record-delivery.lua removes it at its end
-- Returns 'erased' | 'running' (or another run) | 'gone'
local record = redis.call('HMGET', KEYS[1], 'status', 'delivery', 'run', 'earlier_deliveries')
local status = record[1]
if not status then
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  return 'gone'
end
if status == 'in_progress' or status == 'cancelling' or record[3] ~= ARGV[2] then return 'running' end
for id in string.gmatch((record[4] or '') .. ' ' .. (record[2] or ''), '%S+') do
  local key = 'fana:delivery:' .. id
  if ARGV[3] ~= '1' or redis.call('HGET', key, 'status') ~= 'pending' then
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[6], id)
    redis.call('ZREM', KEYS[2], id)
  end
end
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
return 'erased'
