-- Gives up the place of a waiting caller; when its final reply was delivered, nobody joins the job any more.
-- KEYS  1 job hash  2 zset of the jobs of its request
-- ARGV  1 job id  2 waiter token  3 delivered (1) or not (0)
-- Returns 1, or 0 when another caller has the place
if ARGV[3] == '1' then redis.call('ZREM', KEYS[2], ARGV[1]) end
if redis.call('HGET', KEYS[1], 'waiter') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'waiter', 'waiter_ms')
return 1
