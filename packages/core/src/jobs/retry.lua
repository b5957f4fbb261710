-- Starts a new run of an ended job: fresh attempts, a new terminal event to come. Calls of earlier runs are counted.
-- KEYS  1 job hash  2 due zset  3 event stream  4 ended zset
-- ARGV  1 job id  2 first check after (ms)  3 run the caller saw
-- Returns { 'retried', run, 1 = it waits for another job of its session } | { 'refused', status } | { 'gone' }
-- A retried turn keeps its place: it runs before later ones that have not begun, and sees the turns before it.
-- @include ../webhooks/deliveries.lua
-- @include ../sessions/turn-order.lua
local record = redis.call('HMGET', KEYS[1], 'status', 'run', 'attempt_count', 'earlier_calls', 'deliveries', 'session', 'turn')
local status = record[1]
if not status then return { 'gone' } end
if record[2] ~= ARGV[3] or (status ~= 'failed' and status ~= 'cancelled' and status ~= 'unknown_outcome') then return { 'refused', status } end
local run = tonumber(record[2]) + 1
local attempts = tonumber(record[3] or '0')
for number = 1, attempts do redis.call('HDEL', KEYS[1], 'attempt:' .. number) end
redis.call('HDEL', KEYS[1], 'attempt_count', 'open_attempt', 'started_ms', 'finished_ms', 'expires_ms', 'end_event', 'output', 'output_blob',
  'waited_ms', 'usage', 'cost_usd', 'served_by', 'error', 'sources', 'result_warnings', 'deliveries', 'aside')
if record[5] then add_earlier_deliveries(KEYS[1], record[5]) end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'status', 'queued', 'run', run, 'earlier_calls', tonumber(record[4] or '0') + attempts, 'queued_ms', string.format('%.0f', now_ms), 'announced', 1)
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms + tonumber(ARGV[2])), ARGV[1])
redis.call('DEL', KEYS[3])
redis.call('XADD', KEYS[3], '*', 'type', 'job.queued', 'attempt', 1, 'at', string.format('%.0f', now_ms))
redis.call('PUBLISH', 'fana:job:' .. ARGV[1], '')
if record[6] and redis.call('EXISTS', session_key(record[6])) == 1 and queue_turn(record[6], record[7], ARGV[1]) then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return { 'retried', run, 1 }
end
return { 'retried', run, 0 }
