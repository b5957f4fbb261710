-- Takes the lease of a chunk, if it is free. What a dead worker had reserved of the cost cap for its calls is given back.
-- KEYS  1 batch hash  2 chunk hash  3 bitmap of ended chunks  4 done  5 open  6 tries (u2 a line)
-- ARGV  1 chunk number  2 lease token  3 lease ms  4 first line  5 lines
-- Returns { 'ended' } (or gone) | { 'leased', lease ends ms }
--       | { 'claimed', a character a line: d = done, o = a call was open, 0 to 3 = calls made; 1 = the batch takes no new lines }
local batch = redis.call('HMGET', KEYS[1], 'status', 'stop')
local status = batch[1]
if status ~= 'in_progress' and status ~= 'cancelling' then return { 'ended' } end
if redis.call('GETBIT', KEYS[3], ARGV[1]) == 1 then return { 'ended' } end
local chunk = redis.call('HMGET', KEYS[2], 'lease_ms', 'reserved')
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(chunk[1] or '0') > now_ms then return { 'leased', chunk[1] } end
if chunk[2] and tonumber(chunk[2]) ~= 0 then
  redis.call('HINCRBYFLOAT', KEYS[1], 'reserved', -tonumber(chunk[2]))
  redis.call('HDEL', KEYS[2], 'reserved')
end
redis.call('HSET', KEYS[2], 'lease', ARGV[2], 'lease_ms', string.format('%.0f', now_ms + tonumber(ARGV[3])))
local states = {}
for line = tonumber(ARGV[4]), tonumber(ARGV[4]) + tonumber(ARGV[5]) - 1 do
  local state
  if redis.call('GETBIT', KEYS[4], line) == 1 then
    state = 'd'
  elseif redis.call('GETBIT', KEYS[5], line) == 1 then
    state = 'o'
  else
    state = tostring(redis.call('BITFIELD', KEYS[6], 'GET', 'u2', '#' .. line)[1])
  end
  states[#states + 1] = state
end
return { 'claimed', table.concat(states), batch[2] and 1 or 0 }
