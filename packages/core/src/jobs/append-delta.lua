-- Appends a piece of output to the event stream, if the lease is still held.
-- KEYS  1 job hash  2 event stream
-- ARGV  1 lease token  2 attempt number  3 delta  4 job id
-- Returns 1, or 0 when another worker holds the job
local record = redis.call('HMGET', KEYS[1], 'lease', 'published')
if record[1] ~= ARGV[1] then return 0 end
if not record[2] then redis.call('HSET', KEYS[1], 'published', 1) end
local time = redis.call('TIME')
redis.call('XADD', KEYS[2], '*', 'type', 'output.delta', 'attempt', ARGV[2], 'at', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), 'delta', ARGV[3])
redis.call('PUBLISH', 'fana:job:' .. ARGV[4], '')
return 1
