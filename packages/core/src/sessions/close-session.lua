-- Takes a session away, so that no route finds it and no job joins it; its turns and jobs are erased after it (erase.ts), by the sweep if need be.
-- KEYS  1 session hash  2 zset of sessions by expiry  3 tenant's index of sessions
-- ARGV  1 session id  2 '1' = only if it has expired and none of its jobs is open (one that is puts off the expiry)  3 now (unix ms)
-- Returns 'closed' | 'in_use' | 'gone' (closed before)
-- @include turn-order.lua
local session = redis.call('HMGET', KEYS[1], 'ttl_ms', 'expires_ms')
if not session[1] then return 'gone' end
if ARGV[2] == '1' then
  if redis.call('ZCARD', KEYS[1] .. ':open') > 0 then
    touch_session(ARGV[1], session[1], tonumber(ARGV[3]))
    return 'in_use'
  end
  if tonumber(session[2]) > tonumber(ARGV[3]) then
    redis.call('ZADD', KEYS[2], session[2], ARGV[1])
    return 'in_use'
  end
end
redis.call('DEL', KEYS[1], KEYS[1] .. ':open')
redis.call('ZREM', KEYS[3], ARGV[1])
-- 1: its jobs live on until their own time; 0: they are erased too.
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 'closed'
