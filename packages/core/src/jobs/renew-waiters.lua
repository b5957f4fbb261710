-- Keeps the places of the callers that wait in one API process.
-- ARGV  1 lease of a place (ms), then 2 values a place: job id, waiter token
-- Returns how many of them are still held
-- Keys of jobs are built here: one Redis primary, no cluster (redis.ts refuses one).
local time = redis.call('TIME')
local until_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1]))
local held = 0
for at = 2, #ARGV, 2 do
  local key = 'fana:job:' .. ARGV[at]
  if redis.call('HGET', key, 'waiter') == ARGV[at + 1] then
    redis.call('HSET', key, 'waiter_ms', until_ms)
    held = held + 1
  end
end
return held
