-- The records of a tenant's webhook endpoints, newest first.
-- KEYS  1 zset of the tenant's endpoints
-- ARGV  1 how many at most
-- Returns { id, { field, value, … }, id, { … }, … }. The records' keys are built here: one Redis primary, no cluster.
local reply = {}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, ARGV[1] - 1)) do
  reply[#reply + 1] = id
  reply[#reply + 1] = redis.call('HGETALL', 'fana:webhook-endpoint:' .. id)
end
return reply
