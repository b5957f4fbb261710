-- Changes fields of a session; it counts as a use.
-- KEYS  1 session hash
-- ARGV  1 session id  2 now (unix ms)  3… field, value pairs ('' takes the field away; one that begins with '+' is set only if it is not there yet)
-- Returns 1, or 0 when the session is gone
-- @include turn-order.lua
local ttl_ms = redis.call('HGET', KEYS[1], 'ttl_ms')
if not ttl_ms then return 0 end
for at = 3, #ARGV, 2 do
  local field, value = ARGV[at], ARGV[at + 1]
  if string.sub(field, 1, 1) == '+' then
    redis.call('HSETNX', KEYS[1], string.sub(field, 2), value)
  elseif value == '' then
    redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, value)
  end
end
touch_session(ARGV[1], ttl_ms, tonumber(ARGV[2]))
return 1
