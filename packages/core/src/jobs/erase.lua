-- Removes everything of an ended job from Redis, the deliveries of all its runs included.
-- KEYS  1 job hash  2 due zset  3 event stream  4 ended zset  5 tenant's job index
-- ARGV  1 job id  2 run the caller saw (a job that was retried since is not the one to erase)
--       3 '1' = the job has expired: a delivery still pending is sent all the same, record-delivery.lua removes it at its end
--       4 tenant
-- Returns { 'erased', the job of its session whose message is now to be sent or '', 1 = a turn keeps its blobs } | { 'running' } (or
--       another run) | { 'gone' }
-- @include ../webhooks/deliveries.lua
-- @include ../sessions/turn-order.lua
local record = redis.call('HMGET', KEYS[1], 'status', 'run', 'session', 'turn')
local status = record[1]
if not status then
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  return { 'gone' }
end
if status == 'in_progress' or status == 'cancelling' or record[2] ~= ARGV[2] then return { 'running' } end
erase_deliveries({ id = ARGV[1], key = KEYS[1], tenant = ARGV[4] }, ARGV[3] == '1')
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
if not record[3] then return { 'erased', '', 0 } end
local turns = session_key(record[3]) .. ':turns'
-- A session remembers what its jobs said for as long as it lives; who erases a job on request erases its turn.
if ARGV[3] == '1' then return { 'erased', '', redis.call('HEXISTS', turns, record[4]) } end
redis.call('HDEL', turns, record[4])
local time = redis.call('TIME')
return { 'erased', leave_turn(record[3], ARGV[1], time[1] * 1000 + math.floor(time[2] / 1000)), 0 }
