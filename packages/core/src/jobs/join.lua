-- Finds a job whose reply a repeated request may have, and gives the request the place of its waiting caller.
-- KEYS  1 zset of the jobs of that request (score: unix ms of acceptance)
-- ARGV  1 waiter token  2 lease of the place (ms)  3 from the end of a job until nobody joins it any more (ms)  4 seconds the zset is kept
-- Returns { 'joined', job id } | { 'busy' } (each has a caller that waits) | { 'none' }
-- Keys of jobs are built here: one Redis primary, no cluster (redis.ts refuses one).
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = { 'none' }
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1)) do
  local key = 'fana:job:' .. id
  local record = redis.call('HMGET', key, 'status', 'finished_ms', 'waiter_ms')
  local finished_ms = tonumber(record[2] or '')
  if not record[1] or (finished_ms and finished_ms + tonumber(ARGV[3]) < now_ms) then
    redis.call('ZREM', KEYS[1], id)
  elseif record[1] ~= 'failed' then
    if tonumber(record[3] or '0') <= now_ms then
      redis.call('HSET', key, 'waiter', ARGV[1], 'waiter_ms', string.format('%.0f', now_ms + tonumber(ARGV[2])))
      redis.call('EXPIRE', KEYS[1], ARGV[4])
      return { 'joined', id }
    end
    reply = { 'busy' }
  end
end
return reply
