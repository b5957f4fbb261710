-- Ends a run, once: status, result, closing of the open attempt, terminal event, index and webhook delivery in one step.
-- KEYS  1 job hash  2 due zset  3 event stream  4 ended zset (score: unix ms of expiry)
-- ARGV  1 job id
--       2 lease token; '' = only if the job is still queued (cancel, deadline)
--       3 run
--       4 status
--       5 outcome of the open attempt ('' = none is open or leave it)  6 its error (JSON or '')
--       7 last delta ('' = none)
--       8 result TTL ms
--       9 delivery id ('' = nobody wants this event)  10 delivery spec (JSON)  11 tenant
--       12 seconds the stream stays readable
--       13… field, value pairs for the record
-- Returns { 'finished', end event id, finished ms, expires ms } | { 'lost', status or '' }
-- A delivery's record lives 30 days after its end, which comes at most 10 days after its beginning.
local DELIVERIES_KEPT_SECONDS = 40 * 24 * 3600
local record = redis.call('HMGET', KEYS[1], 'status', 'run', 'lease', 'open_attempt', 'announced', 'created_ms')
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
redis.call('EXPIRE', KEYS[3], ARGV[12])
local expires = string.format('%.0f', now_ms + tonumber(ARGV[8]))
redis.call('HDEL', KEYS[1], 'lease', 'lease_ms', 'open_attempt', 'published')
redis.call('HSET', KEYS[1], 'status', ARGV[4], 'finished_ms', now, 'expires_ms', expires, 'end_event', end_event, 'announced', 1, unpack(ARGV, 13))
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[9] ~= '' then
  -- The record outlives its webhook: it joins the ended ones when the delivery has ended.
  redis.call('HSET', 'fana:delivery:' .. ARGV[9], 'spec', ARGV[10], 'status', 'pending', 'attempt_count', 0, 'created_ms', now)
  local index = 'fana:tenant:' .. ARGV[11] .. ':deliveries'
  redis.call('ZADD', index, now, ARGV[9])
  redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('%.0f', now_ms - DELIVERIES_KEPT_SECONDS * 1000))
  redis.call('EXPIRE', index, DELIVERIES_KEPT_SECONDS)
  redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms + 5000), ARGV[9])
  redis.call('HSET', KEYS[1], 'delivery', ARGV[9])
else
  redis.call('ZADD', KEYS[4], expires, ARGV[1])
end
redis.call('PUBLISH', 'fana:job:' .. ARGV[1], ARGV[4])
return { 'finished', end_event, now, expires }
