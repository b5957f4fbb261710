-- Ends a line, once: its result joins those of its chunk, its cost and tokens those of the batch.
-- KEYS  1 batch hash  2 chunk hash  3 open  4 done  5 failed  6 results of the chunk (list)
-- ARGV  1 lease token  2 line  3 '1' = it failed  4 cost reserved for it ('' = none)  5 its cost in USD ('' = not known: the reservation counts)
--       6 result (JSON)  7 input, 8 cached input, 9 output, 10 reasoning tokens
-- Returns its number in the order of ending, 0 when another worker holds the chunk, -1 when the line has ended already
if redis.call('HGET', KEYS[2], 'lease') ~= ARGV[1] then return 0 end
if redis.call('SETBIT', KEYS[4], ARGV[2], 1) == 1 then return -1 end
if ARGV[3] == '1' then redis.call('SETBIT', KEYS[5], ARGV[2], 1) end
local was_open = redis.call('SETBIT', KEYS[3], ARGV[2], 0) == 1
if ARGV[4] ~= '' and was_open and redis.call('HEXISTS', KEYS[2], 'reserved') == 1 then
  redis.call('HINCRBYFLOAT', KEYS[1], 'reserved', -tonumber(ARGV[4]))
  redis.call('HINCRBYFLOAT', KEYS[2], 'reserved', -tonumber(ARGV[4]))
end
local cost = ARGV[5] ~= '' and ARGV[5] or (ARGV[3] ~= '1' and ARGV[4] or '')
if cost ~= '' then redis.call('HINCRBYFLOAT', KEYS[1], 'cost', cost) end
for at, field in ipairs({ 'input_tokens', 'cached_tokens', 'output_tokens', 'reasoning_tokens' }) do
  if ARGV[6 + at] ~= '0' then redis.call('HINCRBY', KEYS[1], field, ARGV[6 + at]) end
end
local number = redis.call('HINCRBY', KEYS[1], 'settled', 1)
redis.call('RPUSH', KEYS[6], number .. ' ' .. ARGV[6])
return number
