-- Starts a new run of an ended job: fresh attempts, a new terminal event to come. Calls of earlier runs are counted.
-- KEYS  1 job hash  2 due zset  3 event stream  4 ended zset
-- ARGV  1 job id  2 first check after (ms)  3 run the caller saw
-- Returns { 'retried', run } | { 'refused', status } | { 'gone' }
-- @include ../webhooks/deliveries.lua
local record = redis.call('HMGET', KEYS[1], 'status', 'run', 'attempt_count', 'earlier_calls', 'deliveries')
local status = record[1]
if not status then return { 'gone' } end
if record[2] ~= ARGV[3] or (status ~= 'failed' and status ~= 'cancelled' and status ~= 'unknown_outcome') then return { 'refused', status } end
local run = tonumber(record[2]) + 1
local attempts = tonumber(record[3] or '0')
for number = 1, attempts do redis.call('HDEL', KEYS[1], 'attempt:' .. number) end
redis.call('HDEL', KEYS[1], 'attempt_count', 'open_attempt', 'started_ms', 'finished_ms', 'expires_ms', 'end_event', 'output', 'output_blob',
