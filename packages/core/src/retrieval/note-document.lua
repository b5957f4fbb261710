-- Writes fields of a document, if the job is still its ingest.
-- KEYS  1 document hash
-- ARGV  1 id of the ingest job  2… field, value pairs
-- Returns 1 | 0 (deleted, or another ingest is the document's now)
if redis.call('HGET', KEYS[1], 'job') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
