-- Gives a run back to the queue (retry, provider pause, shutdown): the lease ends, the open attempt is closed.
-- KEYS  1 job hash  2 due zset  3 event stream
-- ARGV  1 job id  2 lease token  3 outcome of the open attempt ('' = none)  4 its error (JSON or '')  5 delay ms  6 first check after (ms)
--       7 what the run has waited for providers in all, this delay included (ms)
--       8 its result, which waits for the blob store ('' = none)
-- Returns 'released' | 'lost' | 'cancelling' (the job is to be ended instead; nothing was changed)
local record = redis.call('HMGET', KEYS[1], 'lease', 'status', 'open_attempt', 'attempt_count')
if record[1] ~= ARGV[2] then return 'lost' end
if record[2] == 'cancelling' then return 'cancelling' end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if record[3] and ARGV[3] ~= '' then
  local attempt = cjson.decode(redis.call('HGET', KEYS[1], 'attempt:' .. record[3]))
  attempt.outcome = ARGV[3]
  attempt.finishedAt = now_ms / 1000
  if ARGV[4] ~= '' then attempt.error = cjson.decode(ARGV[4]) end
  redis.call('HSET', KEYS[1], 'attempt:' .. record[3], cjson.encode(attempt))
end
redis.call('HDEL', KEYS[1], 'lease', 'lease_ms', 'open_attempt')
redis.call('HSET', KEYS[1], 'status', 'queued')
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'aside', ARGV[8]) end
if ARGV[7] ~= '0' then redis.call('HSET', KEYS[1], 'waited_ms', ARGV[7]) end
redis.call('ZADD', KEYS[2], string.format('%.0f', now_ms + tonumber(ARGV[5]) + tonumber(ARGV[6])), ARGV[1])
redis.call('XADD', KEYS[3], '*', 'type', 'job.queued', 'attempt', tonumber(record[4] or '0') + 1, 'at', string.format('%.0f', now_ms))
redis.call('PUBLISH', 'fana:job:' .. ARGV[1], '')
return 'released'
