-- One idempotency key of a creating route. Value: 'fingerprint|object id|claimed ms', the last one '-' once the object exists.
-- The id is chosen before the object is made: a claim whose maker died is found to have made it, or is taken over under the same id.
-- KEYS  1 the claim
-- ARGV  1 'claim' | 'settle' | 'release', 2 fingerprint of the body (claim), 3 object id
-- Returns for a claim { 'claimed' | 'settled' | 'in_progress' | 'mismatch', object id }, else nil
local DAY_SECONDS = 86400
-- Longer than any creation takes (its commands give up after 1 s each).
local TAKE_OVER_MS = 10000
local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local seen = redis.call('GET', KEYS[1])
local fingerprint, id, claimed_ms
if seen then fingerprint, id, claimed_ms = string.match(seen, '^([^|]*)|([^|]*)|(.*)$') end

if ARGV[1] == 'settle' then
  if seen and id == ARGV[3] then redis.call('SET', KEYS[1], fingerprint .. '|' .. id .. '|-', 'KEEPTTL') end
  return
end
if ARGV[1] == 'release' then
  if seen and id == ARGV[3] and claimed_ms ~= '-' then redis.call('DEL', KEYS[1]) end
  return
end

if not seen then
  redis.call('SET', KEYS[1], ARGV[2] .. '|' .. ARGV[3] .. '|' .. now_ms, 'EX', DAY_SECONDS)
  return { 'claimed', ARGV[3] }
end
if fingerprint ~= ARGV[2] then return { 'mismatch', '' } end
if claimed_ms == '-' then return { 'settled', id } end
if tonumber(now_ms) - tonumber(claimed_ms) < TAKE_OVER_MS then return { 'in_progress', id } end
redis.call('SET', KEYS[1], fingerprint .. '|' .. id .. '|' .. now_ms, 'KEEPTTL')
return { 'claimed', id }
