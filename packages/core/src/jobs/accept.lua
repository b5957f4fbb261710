-- Accepts N submissions in one step: idempotency, requests per minute, record, index, time of first check.
-- KEYS  1 due zset (score: unix ms of the next check by the sweep)
-- ARGV  1 number of items, then 11 values an item:
--       job id, tenant, spec (JSON), key id, requests per minute (0 = unlimited), idempotency key ('' = none),
--       body fingerprint, run at (ms, 0 = now), deadline seconds (0 = none), first check after (ms), job type
-- Returns for each item: { 'accepted' | 'replayed' | 'mismatch' | 'limited', job id, created ms, remaining requests, reset s }
-- All keys are built here: one Redis primary, no cluster (redis.ts refuses one).
local STRIDE = 11
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
local minute = math.floor(time[1] / 60)
local into_minute = (now_us / 1000000) % 60

-- Sliding window over two one-minute counters: exact under concurrency, at most N in the estimated last 60 s.
local function take_request(key_id, limit)
  local current_key = 'fana:rpm:' .. key_id .. ':' .. minute
  local previous = tonumber(redis.call('GET', 'fana:rpm:' .. key_id .. ':' .. (minute - 1)) or '0')
  local current = tonumber(redis.call('GET', current_key) or '0')
  local used = previous * (1 - into_minute / 60) + current
  if used + 1 > limit then
    local wait = 60 - into_minute
    if current + 1 <= limit and previous > 0 then wait = (used + 1 - limit) / previous * 60 end
    return false, 0, math.max(1, math.ceil(wait))
  end
  redis.call('INCR', current_key)
  redis.call('EXPIRE', current_key, 130)
  return true, math.floor(limit - used - 1), math.ceil(60 - into_minute)
end

local function accept(b, index)
  local id, tenant, spec, key_id = ARGV[b], ARGV[b + 1], ARGV[b + 2], ARGV[b + 3]
  local limit, idempotency_key = tonumber(ARGV[b + 4]), ARGV[b + 5]
  if idempotency_key ~= '' then
    local seen = redis.call('GET', idempotency_key)
    if seen then
      local bar = string.find(seen, '|', 1, true)
      if string.sub(seen, 1, bar - 1) ~= ARGV[b + 6] then return { 'mismatch', '', 0, 0, 0 } end
      return { 'replayed', string.sub(seen, bar + 1), 0, -1, 0 }
    end
  end
  local remaining, reset = -1, 0
  if limit > 0 then
    local allowed
    allowed, remaining, reset = take_request(key_id, limit)
    if not allowed then return { 'limited', '', 0, 0, reset } end
  end
  if idempotency_key ~= '' then
    redis.call('SET', idempotency_key, ARGV[b + 6] .. '|' .. id, 'EX', 86400)
  end
  redis.call('HSET', 'fana:job:' .. id, 'spec', spec, 'status', 'queued', 'type', ARGV[b + 10], 'run', 1, 'created_ms', string.format('%.0f', now_ms))
  redis.call('ZADD', 'fana:tenant:' .. tenant .. ':jobs', string.format('%.0f', now_us + index), id)
  local check = math.max(now_ms, tonumber(ARGV[b + 7])) + tonumber(ARGV[b + 9])
  local deadline = tonumber(ARGV[b + 8])
  if deadline > 0 then check = math.min(check, now_ms + deadline * 1000) end
  redis.call('ZADD', KEYS[1], string.format('%.0f', check), id)
  return { 'accepted', id, string.format('%.0f', now_ms), remaining, reset }
end

local replies = {}
for i = 0, tonumber(ARGV[1]) - 1 do replies[i + 1] = accept(2 + i * STRIDE, i) end
return replies
