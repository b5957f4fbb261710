-- Begins or takes up the ingest of a version, and counts the go: whoever ends it in order takes it back (note-document.lua).
-- KEYS  1 document hash  2 collection's stale versions
-- ARGV  1 id of the ingest job  2 when its version is looked at if nobody finishes it (ms from now): a retried one is not to be tidied away
-- Returns { 'gone' } (deleted, or another ingest is the document's now) | { 'live' } (this version is whole) | { 'begun', goes, done, total }
local record = redis.call('HMGET', KEYS[1], 'job', 'live', 'done', 'total')
if record[1] ~= ARGV[1] then return { 'gone' } end
if record[2] == ARGV[1] then return { 'live' } end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.0f', time[1] * 1000 + tonumber(ARGV[2])), ARGV[1])
redis.call('HDEL', KEYS[1], 'error')
redis.call('HSET', KEYS[1], 'status', 'in_progress')
return { 'begun', redis.call('HINCRBY', KEYS[1], 'goes', 1), record[3] or '0', record[4] or '0' }
