-- Takes one request out of a key's minute: the same sliding window, keys and arithmetic as jobs/accept.lua, so both count together.
-- ARGV  1 key id, 2 requests per minute
-- Returns { 1 allowed | 0 not, remaining requests, reset s }. The keys are built here: one Redis primary, no cluster.
local time = redis.call('TIME')
local minute = math.floor(time[1] / 60)
local into_minute = (time[1] + time[2] / 1000000) % 60
local limit = tonumber(ARGV[2])

local current_key = 'fana:rpm:' .. ARGV[1] .. ':' .. minute
local previous = tonumber(redis.call('GET', 'fana:rpm:' .. ARGV[1] .. ':' .. (minute - 1)) or '0')
local current = tonumber(redis.call('GET', current_key) or '0')
local used = previous * (1 - into_minute / 60) + current
if used + 1 > limit then
  local wait = 60 - into_minute
  if current + 1 <= limit and previous > 0 then wait = (used + 1 - limit) / previous * 60 end
  return { 0, 0, math.max(1, math.ceil(wait)) }
end
redis.call('INCR', current_key)
redis.call('EXPIRE', current_key, 130)
return { 1, math.floor(limit - used - 1), math.ceil(60 - into_minute) }
