-- Removes what Redis holds of an ended batch. Deliveries still pending are sent all the same.
-- KEYS  1 batch hash  2 ended zset  3 tenant's index  4… its other keys
-- ARGV  1 batch id  2 tenant
-- @include ../webhooks/deliveries.lua
erase_deliveries({ id = ARGV[1], key = KEYS[1], tenant = ARGV[2] }, true)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[1], unpack(KEYS, 4))
