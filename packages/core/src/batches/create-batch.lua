-- Writes a new batch, once.
-- KEYS  1 batch hash  2 due zset  3 tenant's index (score: unix µs of creation)
-- ARGV  1 batch id  2 spec (JSON)  3 first look of the sweep after (ms; below zero: among what runs, see RUNNING_BAND_MS)
-- Returns unix ms of its creation
local known = redis.call('HGET', KEYS[1], 'created_ms')
if known then return known end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = string.format('%.0f', now_ms)
redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'status', 'validating', 'created_ms', now, 'fed', 0)
redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms + tonumber(ARGV[3])), ARGV[1])
redis.call('ZADD', KEYS[3], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[1])
return now
