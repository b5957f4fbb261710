-- Writes a delivery anew, due at once. It belongs to the same job or batch, which does not wait for it with its expiry.
-- KEYS  1 hash of the delivery it repeats  2 hash of what both are about
-- ARGV  1 id of the new delivery  2 tenant  3 endpoint id  4 id of what it is about  5 spec (JSON)
-- Returns 1, or 0 when the delivery it repeats is gone
-- @include deliveries.lua
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
write_delivery({ id = ARGV[4], tenant = ARGV[2] }, now_ms, ARGV[1], ARGV[3], ARGV[5])
if redis.call('EXISTS', KEYS[2]) == 1 then add_earlier_deliveries(KEYS[2], ARGV[1]) end
return 1
