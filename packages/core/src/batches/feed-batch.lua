-- Lets the next chunks into the queue, so that a small window of them waits or runs. A tenant's batches share one window.
-- KEYS  1 batch hash  2 bitmap of ended chunks  3 tenant's set of running batches
-- ARGV  1 window
-- Returns the numbers of the chunks whose messages are to be sent
local record = redis.call('HMGET', KEYS[1], 'status', 'stop', 'fed', 'chunks')
if record[1] ~= 'in_progress' or record[2] then return {} end
local fed, chunks = tonumber(record[3]), tonumber(record[4])
local ended = redis.call('BITCOUNT', KEYS[2])
local window = math.max(1, math.floor(tonumber(ARGV[1]) / math.max(1, redis.call('SCARD', KEYS[3]))))
local numbers = {}
while fed < chunks and fed - ended < window do
  numbers[#numbers + 1] = fed
  fed = fed + 1
end
if #numbers > 0 then redis.call('HSET', KEYS[1], 'fed', fed) end
return numbers
