-- Begins or takes up the ingest of a version, and counts the go: whoever ends it in order takes it back (note-document.lua).
-- KEYS  1 document hash
-- ARGV  1 id of the ingest job
-- Returns { 'gone' } (deleted, or another ingest is the document's now) | { 'live' } (this version is whole) | { 'begun', goes, done, total }
local record = redis.call('HMGET', KEYS[1], 'job', 'live', 'done', 'total')
if record[1] ~= ARGV[1] then return { 'gone' } end
if record[2] == ARGV[1] then return { 'live' } end
redis.call('HSET', KEYS[1], 'status', 'in_progress')
return { 'begun', redis.call('HINCRBY', KEYS[1], 'goes', 1), record[3] or '0', record[4] or '0' }
