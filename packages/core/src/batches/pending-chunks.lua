-- The chunks that were let into the queue and have not ended: for the sweep, which sends their messages again.
-- KEYS  1 batch hash  2 bitmap of ended chunks
-- Returns their numbers
local fed = tonumber(redis.call('HGET', KEYS[1], 'fed') or '0')
local numbers = {}
for number = 0, fed - 1 do
  if redis.call('GETBIT', KEYS[2], number) == 0 then numbers[#numbers + 1] = number end
end
return numbers
