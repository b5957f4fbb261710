-- Renews the leases of chunks and batch steps that one worker process holds.
-- ARGV  1 lease ms  2… key of the lease, lease token, key of the batch hash
-- Returns for each 'held' | 'cancelling' (the batch takes no new lines) | 'lost'
local time = redis.call('TIME')
local lease = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1]))
local replies = {}
for at = 2, #ARGV, 3 do
  if redis.call('HGET', ARGV[at], 'lease') ~= ARGV[at + 1] then
    replies[#replies + 1] = 'lost'
  else
    redis.call('HSET', ARGV[at], 'lease_ms', lease)
    replies[#replies + 1] = redis.call('HEXISTS', ARGV[at + 2], 'stop') == 1 and 'cancelling' or 'held'
  end
end
return replies
