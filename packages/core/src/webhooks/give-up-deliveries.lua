-- Ends the pending deliveries among some of an endpoint's, from the newest.
-- KEYS  1 the endpoint's delivery index
-- ARGV  1 tenant  2 first place  3 last place  4 why
-- Returns how many were looked at
-- @include deliveries.lua
local ids = redis.call('ZREVRANGE', KEYS[1], ARGV[2], ARGV[3])
for _, id in ipairs(ids) do
  if redis.call('HGET', 'fana:delivery:' .. id, 'status') == 'pending' then end_delivery(ARGV[1], id, 'failed', ARGV[4]) end
end
return #ids
