-- Stops a job before it is erased: nobody can claim it, and the worker that runs it is told to stop and can write nothing any more.
-- KEYS  1 job hash
-- ARGV  1 job id
-- Returns the fields of the record, flat; empty when there is none
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return {} end
if status == 'queued' or status == 'in_progress' or status == 'cancelling' then
  redis.call('HSET', KEYS[1], 'status', 'cancelled')
  redis.call('HDEL', KEYS[1], 'lease', 'lease_ms', 'open_attempt')
  redis.call('PUBLISH', 'fana:cancel', ARGV[1])
  redis.call('PUBLISH', 'fana:job:' .. ARGV[1], 'cancelled')
end
return redis.call('HGETALL', KEYS[1])
