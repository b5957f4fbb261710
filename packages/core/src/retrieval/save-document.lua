-- Writes a document of a collection that exists, or begins a new version of one; the version that is live stays so.
-- KEYS  1 collection  2 document hash  3 collection's documents  4 collection's stale versions
-- ARGV  1 document id  2 tenant  3 collection id  4 id of the ingest job, which names the version  5 1 = a new document
--       6 when the version is looked at if nobody finishes it (ms from now)  7… field, value pairs
-- Returns 'saved' | 'gone'
if redis.call('EXISTS', KEYS[1]) == 0 then return 'gone' end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[2], 'collection', 'job', 'live')
if ARGV[5] == '1' then
  if known[1] and known[2] ~= ARGV[4] then return 'gone' end
  redis.call('HSETNX', KEYS[2], 'created_ms', string.format('%.0f', now_ms))
  redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', now_ms), ARGV[1])
elseif known[1] ~= ARGV[3] then
  return 'gone'
end
-- A version that was being made and is not the live one is given up for the new one.
if known[2] and known[2] ~= ARGV[4] and known[2] ~= known[3] then redis.call('ZADD', KEYS[4], string.format('%.0f', now_ms), known[2]) end
redis.call('HDEL', KEYS[2], 'error', 'done', 'total', 'goes', 'found_title')
redis.call('HSET', KEYS[2], 'tenant', ARGV[2], 'collection', ARGV[3], 'job', ARGV[4], 'status', 'queued', unpack(ARGV, 7))
redis.call('ZADD', KEYS[4], string.format('%.0f', now_ms + tonumber(ARGV[6])), ARGV[4])
return 'saved'
