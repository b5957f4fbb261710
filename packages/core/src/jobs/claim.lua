-- Takes the lease of a run, if it is free. An attempt left open by a dead worker is closed as `unknown`.
-- KEYS  1 job hash  2 due zset  3 event stream
-- ARGV  1 job id  2 run  3 lease token  4 lease ms  5 from the end of the lease to the score in the due zset (ms; below zero: see RUNNING_BAND_MS)
-- Returns { 'gone' } | { 'stale' } (another run, this one has ended, or it waits for another job of its session) | { 'leased', lease ends ms } | { 'claimed', field, value, … }
local record = redis.call('HMGET', KEYS[1], 'status', 'run', 'lease_ms', 'open_attempt', 'announced', 'created_ms', 'attempt_count', 'waiting')
local status, run, open_attempt = record[1], record[2], record[4]
if not status then return { 'gone' } end
if run ~= ARGV[2] or record[8] then return { 'stale' } end
if status ~= 'queued' and status ~= 'in_progress' and status ~= 'cancelling' then return { 'stale' } end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = string.format('%.0f', now_ms)
if status ~= 'queued' and tonumber(record[3] or '0') > now_ms then return { 'leased', record[3] } end
if open_attempt then
  local attempt = cjson.decode(redis.call('HGET', KEYS[1], 'attempt:' .. open_attempt))
  attempt.outcome = 'unknown'
  attempt.finishedAt = now_ms / 1000
  attempt.error = { code = 'outcome_unknown', message = 'The worker that made this call stopped before its outcome was written down.' }
  redis.call('HSET', KEYS[1], 'attempt:' .. open_attempt, cjson.encode(attempt))
  redis.call('HDEL', KEYS[1], 'open_attempt')
end
local lease_ms = now_ms + tonumber(ARGV[4])
if status == 'queued' then status = 'in_progress' end
redis.call('HSET', KEYS[1], 'status', status, 'lease', ARGV[3], 'lease_ms', string.format('%.0f', lease_ms), 'announced', 1)
redis.call('HSETNX', KEYS[1], 'started_ms', now)
redis.call('ZADD', KEYS[2], string.format('%.0f', lease_ms + tonumber(ARGV[5])), ARGV[1])
if not record[5] then
  -- The id of the first event is the time of acceptance, so that a reader who came before this claim saw the same id.
  redis.call('XADD', KEYS[3], record[6] .. '-0', 'type', 'job.queued', 'attempt', 1, 'at', record[6])
end
redis.call('XADD', KEYS[3], '*', 'type', 'job.started', 'attempt', tonumber(record[7] or '0') + 1, 'at', now)
redis.call('PUBLISH', 'fana:job:' .. ARGV[1], '')
local reply = redis.call('HGETALL', KEYS[1])
table.insert(reply, 1, 'claimed')
return reply
