-- Makes a whole version the live one: from this step on searches find it, and nothing of the one before.
-- KEYS  1 document hash  2 collection's stale versions  3 collection  4 due zset
-- ARGV  1 document id  2 collection id  3 id of the ingest job, which names the version  4 number of chunks  5 first look of the sweep after (ms)
-- Returns 'completed' | 'gone' (document or collection deleted, or another ingest is the document's now)
local record = redis.call('HMGET', KEYS[1], 'job', 'live')
if record[1] ~= ARGV[3] or redis.call('EXISTS', KEYS[3]) == 0 then return 'gone' end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', KEYS[2], ARGV[3])
if record[2] and record[2] ~= ARGV[3] then redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms), record[2]) end
redis.call('HSET', KEYS[1], 'live', ARGV[3], 'status', 'completed', 'chunks', ARGV[4])
redis.call('HDEL', KEYS[1], 'error', 'goes')
redis.call('ZADD', KEYS[4], string.format('%.0f', now_ms + tonumber(ARGV[5])), ARGV[2])
return 'completed'
