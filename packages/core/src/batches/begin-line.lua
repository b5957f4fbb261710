-- Writes down that a provider call of a line is about to be made, before it is made, and reserves its cost under the batch's cap.
-- KEYS  1 batch hash  2 chunk hash  3 open  4 tries
-- ARGV  1 lease token  2 line  3 estimated cost in USD ('' = there is no cap)  4 cap in USD  5 calls a line may make
-- Returns 'begun' | 'lost' (another worker holds the chunk) | 'stopped' (cancelled, expired, over its cap) | 'wait' (calls under way may use up
-- the cap: ask again when one has ended) | 'spent' (its calls are used up)
if redis.call('HGET', KEYS[2], 'lease') ~= ARGV[1] then return 'lost' end
local record = redis.call('HMGET', KEYS[1], 'status', 'stop', 'cost', 'reserved')
if record[1] ~= 'in_progress' or record[2] then return 'stopped' end
local tries = redis.call('BITFIELD', KEYS[4], 'GET', 'u2', '#' .. ARGV[2])[1]
-- A line whose call is open already is this very step, sent again because its acknowledgement was lost.
if redis.call('GETBIT', KEYS[3], ARGV[2]) == 1 then return 'begun' end
if tries >= tonumber(ARGV[5]) then return 'spent' end
if ARGV[3] ~= '' then
  local cost, reserved, estimate, cap = tonumber(record[3] or '0'), tonumber(record[4] or '0'), tonumber(ARGV[3]), tonumber(ARGV[4])
  if cost + estimate > cap then
    -- What is under way may still turn out cheaper than its reservation, but not this line.
    redis.call('HSET', KEYS[1], 'stop', 'capped')
    return 'stopped'
  end
  if cost + reserved + estimate > cap then return 'wait' end
  redis.call('HINCRBYFLOAT', KEYS[1], 'reserved', estimate)
  redis.call('HINCRBYFLOAT', KEYS[2], 'reserved', estimate)
end
redis.call('SETBIT', KEYS[3], ARGV[2], 1)
redis.call('BITFIELD', KEYS[4], 'SET', 'u2', '#' .. ARGV[2], tries + 1)
return 'begun'
