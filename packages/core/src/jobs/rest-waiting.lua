-- Takes a job that waits for another one of its session from what the sweep looks at; its deadline alone is looked at. One whose turn has come
-- meanwhile is left where it is.
-- KEYS  1 job hash  2 due zset
-- ARGV  1 job id  2 deadline (unix ms; '' = none)
-- Returns 1 when it waits, else 0
if not redis.call('HGET', KEYS[1], 'waiting') then return 0 end
if ARGV[2] == '' then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1]) end
return 1
