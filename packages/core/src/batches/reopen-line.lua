-- A call of a line has ended without a result and the line is to be called again (later).
-- KEYS  1 batch hash  2 chunk hash  3 open  4 tries
-- ARGV  1 lease token  2 line  3 cost reserved for it ('' = none)  4 '1' = the call does not count (the provider asked to wait, or it was never made)
-- Returns 1, or 0 when another worker holds the chunk
if redis.call('HGET', KEYS[2], 'lease') ~= ARGV[1] then return 0 end
if redis.call('GETBIT', KEYS[3], ARGV[2]) == 0 then return 1 end
redis.call('SETBIT', KEYS[3], ARGV[2], 0)
if ARGV[4] == '1' then
  local tries = redis.call('BITFIELD', KEYS[4], 'GET', 'u2', '#' .. ARGV[2])[1]
  if tries > 0 then redis.call('BITFIELD', KEYS[4], 'SET', 'u2', '#' .. ARGV[2], tries - 1) end
end
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], 'reserved') == 1 then
  redis.call('HINCRBYFLOAT', KEYS[1], 'reserved', -tonumber(ARGV[3]))
  redis.call('HINCRBYFLOAT', KEYS[2], 'reserved', -tonumber(ARGV[3]))
end
return 1
