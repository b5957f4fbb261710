-- Takes the lease of a step of the whole batch: reading its file, or writing its output files once no chunk runs any more.
-- KEYS  1 batch hash  2 bitmap of ended chunks
-- ARGV  1 lease token  2 lease ms
-- Returns { 'none' } (gone, ended, or its chunks still run) | { 'leased', lease ends ms } | { 'claimed' }
local record = redis.call('HMGET', KEYS[1], 'status', 'lease_ms', 'fed', 'chunks', 'stop')
local status = record[1]
if status ~= 'validating' and status ~= 'in_progress' and status ~= 'finalizing' and status ~= 'cancelling' then return { 'none' } end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(record[2] or '0') > now_ms then return { 'leased', record[2] } end
if status ~= 'validating' then
  if redis.call('BITCOUNT', KEYS[2]) < tonumber(record[3]) then return { 'none' } end
  if status == 'in_progress' then
    if not record[5] and tonumber(record[3]) < tonumber(record[4]) then return { 'none' } end
    redis.call('HSET', KEYS[1], 'status', 'finalizing', 'finalizing_ms', string.format('%.0f', now_ms))
  end
end
redis.call('HSET', KEYS[1], 'lease', ARGV[1], 'lease_ms', string.format('%.0f', now_ms + tonumber(ARGV[2])))
return { 'claimed' }
