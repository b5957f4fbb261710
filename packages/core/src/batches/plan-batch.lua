-- The file was read and every line is good: the chunks may run. A batch that is to stop already goes straight to its files.
-- KEYS  1 batch hash  2 tenant's set of running batches
-- ARGV  1 batch id  2 lease token  3 lines  4 chunks  5 blob of the chunk offsets  6 model of every line, or ''
-- Returns the status after it, or 'lost'
local record = redis.call('HMGET', KEYS[1], 'lease', 'status')
if record[1] ~= ARGV[2] then return 'lost' end
redis.call('HDEL', KEYS[1], 'lease', 'lease_ms')
redis.call('HSET', KEYS[1], 'total', ARGV[3], 'chunks', ARGV[4], 'index_blob', ARGV[5])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'model', ARGV[6]) end
if record[2] ~= 'validating' then return record[2] end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'status', 'in_progress', 'in_progress_ms', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('SADD', KEYS[2], ARGV[1])
return 'in_progress'
