-- Closes the open attempt while the run goes on (a known failure that is followed by another call at once).
-- KEYS  1 job hash
-- ARGV  1 lease token  2 outcome  3 error (JSON or '')
-- Returns 1, or 0 when another worker holds the job
local record = redis.call('HMGET', KEYS[1], 'lease', 'open_attempt')
if record[1] ~= ARGV[1] then return 0 end
if record[2] then
  local time = redis.call('TIME')
  local attempt = cjson.decode(redis.call('HGET', KEYS[1], 'attempt:' .. record[2]))
  attempt.outcome = ARGV[2]
  attempt.finishedAt = time[1] + math.floor(time[2] / 1000) / 1000
  if ARGV[3] ~= '' then attempt.error = cjson.decode(ARGV[3]) end
  redis.call('HSET', KEYS[1], 'attempt:' .. record[2], cjson.encode(attempt))
  redis.call('HDEL', KEYS[1], 'open_attempt')
end
return 1
