-- Ends a run, once: status, result, closing of the open attempt, terminal event, index and webhook deliveries in one step.
-- KEYS  1 job hash  2 due zset  3 event stream
-- ARGV  1 job id
--       2 lease token; '' = only if the job is still queued (cancel, deadline)
--       3 run
--       4 status
--       5 outcome of the open attempt ('' = none is open or leave it)  6 its error (JSON or '')
--       7 last delta ('' = none)
--       8 result TTL ms
--       9 tenant
--       10 seconds the stream stays readable
--       11 line of the job's turn, if it has a session (sessions/turn.ts)  12 language its message is surely in ('' = not sure)
--       13… the list of webhook deliveries that this end owes (deliveries.lua)
--       after it field, value pairs for the record
-- Returns { 'finished', end event id, finished ms, expires ms, the job of its session whose message is now to be sent or '' } | { 'lost', status or '' }
-- @include ../webhooks/deliveries.lua
-- @include ../sessions/turn-order.lua
local record = redis.call('HMGET', KEYS[1], 'status', 'run', 'lease', 'open_attempt', 'announced', 'created_ms', 'session', 'turn')
local status = record[1]
if not status or record[2] ~= ARGV[3] then return { 'lost', status or '' } end
if ARGV[2] == '' then
  if status ~= 'queued' then return { 'lost', status } end
elseif record[3] ~= ARGV[2] or (status ~= 'in_progress' and status ~= 'cancelling') then
  return { 'lost', status }
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = string.format('%.0f', now_ms)
local open_attempt = record[4]
if open_attempt and ARGV[5] ~= '' then
  local attempt = cjson.decode(redis.call('HGET', KEYS[1], 'attempt:' .. open_attempt))
  attempt.outcome = ARGV[5]
  attempt.finishedAt = now_ms / 1000
  if ARGV[6] ~= '' then attempt.error = cjson.decode(ARGV[6]) end
  redis.call('HSET', KEYS[1], 'attempt:' .. open_attempt, cjson.encode(attempt))
end
if not record[5] then
  redis.call('XADD', KEYS[3], record[6] .. '-0', 'type', 'job.queued', 'attempt', 1, 'at', record[6])
end
if ARGV[7] ~= '' then
  redis.call('XADD', KEYS[3], '*', 'type', 'output.delta', 'attempt', open_attempt or 0, 'at', now, 'delta', ARGV[7])
end
local end_event = redis.call('XADD', KEYS[3], '*', 'type', 'job.' .. ARGV[4], 'attempt', open_attempt or 0, 'at', now)
redis.call('EXPIRE', KEYS[3], ARGV[10])
local expires = string.format('%.0f', now_ms + tonumber(ARGV[8]))
redis.call('HDEL', KEYS[1], 'lease', 'lease_ms', 'open_attempt', 'published', 'waiting')
local first_field = write_deliveries({ id = ARGV[1], key = KEYS[1], tenant = ARGV[9] }, now_ms, expires, 13)
redis.call('HSET', KEYS[1], 'status', ARGV[4], 'finished_ms', now, 'expires_ms', expires, 'end_event', end_event, 'announced', 1, unpack(ARGV, first_field))
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('PUBLISH', 'fana:job:' .. ARGV[1], ARGV[4])
local next_job = ''
if record[7] then
  write_turn(record[7], record[8], ARGV[11])
  next_job = leave_turn(record[7], ARGV[1], now_ms)
  if ARGV[12] ~= '' and redis.call('EXISTS', session_key(record[7])) == 1 then redis.call('HSET', session_key(record[7]), 'spoken', ARGV[12]) end
end
return { 'finished', end_event, now, expires, next_job }
