-- Asks a running job to stop. A queued one is ended by finish.lua instead.
-- KEYS  1 job hash
-- ARGV  1 job id
-- Returns the status before: 'queued' (nothing was changed) | 'in_progress' (now cancelling; its worker was told) | any other | '' (no such job)
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return '' end
if status == 'in_progress' then
  redis.call('HSET', KEYS[1], 'status', 'cancelling')
  redis.call('PUBLISH', 'fana:cancel', ARGV[1])
  redis.call('PUBLISH', 'fana:job:' .. ARGV[1], '')
end
return status
