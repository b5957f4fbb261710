-- Ends a chunk: its results are in a blob now.
-- KEYS  1 batch hash  2 chunk hash  3 bitmap of ended chunks  4 results of the chunk  5 parts (list)
-- ARGV  1 lease token  2 chunk number  3 part (JSON), or '' when none of its lines ended
-- Returns 'lost' | 'ended' | 'last' (no chunk runs any more and none is to follow)
if redis.call('HGET', KEYS[2], 'lease') ~= ARGV[1] then return 'lost' end
if ARGV[3] ~= '' then redis.call('RPUSH', KEYS[5], ARGV[3]) end
redis.call('SETBIT', KEYS[3], ARGV[2], 1)
redis.call('DEL', KEYS[2], KEYS[4])
local record = redis.call('HMGET', KEYS[1], 'fed', 'chunks', 'stop')
local fed = tonumber(record[1])
if redis.call('BITCOUNT', KEYS[3]) == fed and (record[3] or fed == tonumber(record[2])) then return 'last' end
return 'ended'
