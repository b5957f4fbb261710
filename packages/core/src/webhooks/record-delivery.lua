-- Writes down one delivery attempt, or that a delivery is given up without one; and what it says of its endpoint: a success clears the
-- memory of failures, a 410 disables it, and so does a failure once every attempt has failed for long.
-- KEYS  1 delivery hash  2 hash of its endpoint (there is none of `default`)
-- ARGV  1 delivery id  2 tenant  3 attempt number (of the next one, when none was made)  4 attempt (JSON, '' = none was made)
--       5 status after it: pending, delivered, failed  6 why it failed ('' = it did not)  7 next attempt (unix ms, '' = none)
--       8 check after (ms)  9 how the receiver took it: 'taken', 'failed', 'gone'  10 where it was sent  11 now (unix ms)
--       12 an endpoint is disabled when it has failed for this long (ms)  13 channel of endpoint changes
-- Returns 0 when this attempt was written down already, 2 when it disabled the endpoint, else 1
-- @include deliveries.lua
local record = redis.call('HMGET', KEYS[1], 'attempt_count', 'status')
if not record[1] or tonumber(record[1]) ~= tonumber(ARGV[3]) - 1 then return 0 end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'attempt:' .. ARGV[3], ARGV[4], 'attempt_count', ARGV[3]) end
if record[2] ~= 'pending' then
  -- Given up with its endpoint while this attempt was under way.
  if ARGV[9] == 'taken' then
    redis.call('HSET', KEYS[1], 'status', 'delivered')
    redis.call('HDEL', KEYS[1], 'failure_reason')
  end
  return 1
end
if ARGV[5] == 'pending' then
  redis.call('HSET', KEYS[1], 'next_ms', ARGV[7])
  redis.call('ZADD', 'fana:due', string.format('%.0f', tonumber(ARGV[7]) + tonumber(ARGV[8])), ARGV[1])
else
  end_delivery(ARGV[2], ARGV[1], ARGV[5], ARGV[6])
end
if ARGV[4] == '' then return 1 end

local endpoint = redis.call('HMGET', KEYS[2], 'url', 'disabled_reason', 'failing_since_ms')
-- What was sent to an address of before says nothing of the one it has now.
if endpoint[1] ~= ARGV[10] or endpoint[2] then return 1 end
if ARGV[9] == 'taken' then
  redis.call('HDEL', KEYS[2], 'failing_since_ms')
  return 1
end
local since = endpoint[3] or ARGV[11]
redis.call('HSET', KEYS[2], 'failing_since_ms', since)
local reason
if ARGV[9] == 'gone' then
  reason = 'gone'
elseif tonumber(ARGV[11]) - tonumber(since) >= tonumber(ARGV[12]) then
  reason = 'failing'
end
if not reason then return 1 end
redis.call('HSET', KEYS[2], 'disabled_reason', reason, 'disabled_ms', ARGV[11], 'updated_ms', ARGV[11])
redis.call('PUBLISH', ARGV[13], ARGV[2])
return 2
