-- Lets a batch begin no further line. Lines under way come to their end.
-- KEYS  1 batch hash
-- ARGV  1 batch id  2 why: cancelled, expired, capped, input_gone
-- Returns the status before it, '' if there is no such batch
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return '' end
if status ~= 'validating' and status ~= 'in_progress' then return status end
redis.call('HSETNX', KEYS[1], 'stop', ARGV[2])
if ARGV[2] == 'cancelled' then
  local time = redis.call('TIME')
  -- Cancelled while it stopped for another reason: what the client asked for is what it is told.
  redis.call('HSET', KEYS[1], 'stop', 'cancelled', 'status', 'cancelling', 'cancelling_ms', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
end
redis.call('PUBLISH', 'fana:cancel', ARGV[1])
return status
