-- Ends a batch, once, with the webhook deliveries that its end owes.
-- KEYS  1 batch hash  2 due zset  3 tenant's set of running batches  4 open  5 tries  6 bitmap of ended chunks
-- ARGV  1 batch id  2 lease token  3 status  4 kept for (ms)  5 tenant  6… the list of deliveries (deliveries.lua)
--       after it field, value pairs for the record
-- Returns 'ended' | 'lost'
-- @include ../webhooks/deliveries.lua
if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[2] then return 'lost' end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local expires = string.format('%.0f', now_ms + tonumber(ARGV[4]))
redis.call('HDEL', KEYS[1], 'lease', 'lease_ms', 'reserved')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4], KEYS[5], KEYS[6])
local first_field = write_deliveries({ id = ARGV[1], key = KEYS[1], tenant = ARGV[5] }, now_ms, expires, 6)
redis.call('HSET', KEYS[1], 'status', ARGV[3], ARGV[3] .. '_ms', string.format('%.0f', now_ms), 'expires_ms', expires, unpack(ARGV, first_field))
return 'ended'
