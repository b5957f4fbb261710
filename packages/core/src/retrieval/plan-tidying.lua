-- Plans the next tidying of a collection, unless somebody asked for one meanwhile.
-- KEYS  1 due zset
-- ARGV  1 collection id  2 its score as it was seen ('' = none)  3 the new score ('' = nothing is due)
-- Returns 1 | 0 (asked for meanwhile: left as it is)
if (redis.call('ZSCORE', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
return 1
