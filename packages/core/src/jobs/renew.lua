-- Renews the leases of everything one worker process runs.
-- KEYS  1 due zset
-- ARGV  1 lease ms  2 from the end of the lease to the score in the due zset (ms; below zero: see RUNNING_BAND_MS)  3… job id, lease token pairs
-- Returns for each pair 'held' | 'cancelling' | 'lost'
local time = redis.call('TIME')
local lease_ms = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local lease = string.format('%.0f', lease_ms)
local due = string.format('%.0f', lease_ms + tonumber(ARGV[2]))
local replies = {}
for i = 3, #ARGV, 2 do
  local key = 'fana:job:' .. ARGV[i]
  local record = redis.call('HMGET', key, 'lease', 'status')
  if record[1] ~= ARGV[i + 1] then
    replies[#replies + 1] = 'lost'
  else
    redis.call('HSET', key, 'lease_ms', lease)
    redis.call('ZADD', KEYS[1], due, ARGV[i])
    replies[#replies + 1] = record[2] == 'cancelling' and 'cancelling' or 'held'
  end
end
return replies
