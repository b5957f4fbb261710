-- The record of an API key by the hash of the key.
-- KEYS  1 hash → id
-- Returns {} or { id, field, value, field, value ... }. The record's key is built here: one Redis primary, no cluster.
local id = redis.call('GET', KEYS[1])
if not id then return {} end
local reply = { id }
for _, part in ipairs(redis.call('HGETALL', 'fana:key:' .. id)) do reply[#reply + 1] = part end
return reply
