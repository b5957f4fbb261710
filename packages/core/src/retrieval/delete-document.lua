-- Takes a document away: no search shows it from this step on; its chunks are removed by the tidying of the collection.
-- KEYS  1 document hash  2 collection's stale versions  3 collection's documents  4 due zset
-- ARGV  1 document id  2 collection id  3 first look of the sweep after (ms)
-- Returns 1
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('HMGET', KEYS[1], 'job', 'live')
for _, version in ipairs({ record[1] or '', record[2] or '' }) do
  if version ~= '' then redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms), version) end
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], string.format('%.0f', now_ms + tonumber(ARGV[3])), ARGV[2])
return 1
