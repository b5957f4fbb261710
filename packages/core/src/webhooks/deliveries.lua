-- For scripts that end, erase or re-send what has webhooks: `-- @include ../webhooks/deliveries.lua` puts these functions before them.
-- The owner of a delivery is a job or a batch: owner = { id, key (of its hash), tenant }. Its hash keeps
--   `deliveries`          ids of those that its end owes: it does not expire before they have ended (end_delivery)
--   `earlier_deliveries`  ids of all others (earlier runs, re-sent ones), erased with it
--   `expires_ms`          when it expires: its score among the ended ones
-- A list of deliveries is written as arguments: their count, then of each id, endpoint id, spec (JSON, see delivery.ts).

local ENDED_DELIVERY_KEPT_SECONDS = 30 * 24 * 3600
-- The end of a delivery comes at most 10 days after its beginning.
local DELIVERIES_KEPT_SECONDS = 40 * 24 * 3600
-- An endpoint lists its newest ones; those beyond are sent all the same.
local DELIVERIES_LISTED = 10000

local function delivery_index(tenant, endpoint) return 'fana:tenant:' .. tenant .. ':deliveries:' .. endpoint end

-- Writes one delivery, due at once; the sweep looks for its message 5 s later.
local function write_delivery(owner, now_ms, id, endpoint, spec)
  local now = string.format('%.0f', now_ms)
  redis.call('HSET', 'fana:delivery:' .. id, 'spec', spec, 'endpoint', endpoint, 'owner', owner.id, 'status', 'pending', 'attempt_count', 0, 'created_ms', now)
  local index = delivery_index(owner.tenant, endpoint)
  redis.call('ZADD', index, now, id)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('%.0f', now_ms - DELIVERIES_KEPT_SECONDS * 1000))
  redis.call('ZREMRANGEBYRANK', index, 0, -DELIVERIES_LISTED - 1)
  redis.call('EXPIRE', index, DELIVERIES_KEPT_SECONDS)
  redis.call('ZADD', 'fana:due', string.format('%.0f', now_ms + 5000), id)
end

-- Writes the list that begins at ARGV[first]. An owner that owes none joins the ended ones at once.
-- Returns the index of the argument after the list. The caller writes the owner's `expires_ms`.
local function write_deliveries(owner, now_ms, expires, first)
  local count = tonumber(ARGV[first])
  local ids = {}
  for at = first + 1, first + 3 * count, 3 do
    write_delivery(owner, now_ms, ARGV[at], ARGV[at + 1], ARGV[at + 2])
    ids[#ids + 1] = ARGV[at]
  end
  if count > 0 then
    redis.call('HSET', owner.key, 'deliveries', table.concat(ids, ' '))
  else
    redis.call('ZADD', 'fana:ended', expires, owner.id)
  end
  return first + 1 + 3 * count
end

-- Ends a delivery: it is 'delivered', or 'failed' for a reason ('' = none). The end of the last one that its owner's end owes lets the
-- owner expire; a delivery whose owner has expired already goes at its end.
local function end_delivery(tenant, id, status, reason)
  local key = 'fana:delivery:' .. id
  local record = redis.call('HMGET', key, 'endpoint', 'owner')
  -- Its kind is the prefix of its id: fana:job:job_…
  local owner_key = 'fana:' .. string.match(record[2], '^%l+') .. ':' .. record[2]
  redis.call('ZREM', 'fana:due', id)
  if redis.call('EXISTS', owner_key) == 0 then
    redis.call('DEL', key)
    redis.call('ZREM', delivery_index(tenant, record[1]), id)
    return
  end
  redis.call('HSET', key, 'status', status)
  if reason ~= '' then redis.call('HSET', key, 'failure_reason', reason) end
  redis.call('HDEL', key, 'next_ms')
  redis.call('EXPIRE', key, ENDED_DELIVERY_KEPT_SECONDS)
  local owner = redis.call('HMGET', owner_key, 'deliveries', 'expires_ms')
  if not owner[2] then return end
  for other in string.gmatch(owner[1] or '', '%S+') do
    if redis.call('HGET', 'fana:delivery:' .. other, 'status') == 'pending' then return end
  end
  redis.call('ZADD', 'fana:ended', owner[2], record[2])
end

-- Turns ids into earlier ones of their owner: they are erased with it and do not keep it from expiring.
local function add_earlier_deliveries(owner_key, ids)
  local earlier = redis.call('HGET', owner_key, 'earlier_deliveries')
  redis.call('HSET', owner_key, 'earlier_deliveries', earlier and earlier .. ' ' .. ids or ids)
end

-- Removes all deliveries of an owner. keep_pending: those are sent all the same, and end_delivery removes them.
local function erase_deliveries(owner, keep_pending)
  local ids = redis.call('HMGET', owner.key, 'deliveries', 'earlier_deliveries')
  for id in string.gmatch((ids[1] or '') .. ' ' .. (ids[2] or ''), '%S+') do
    local key = 'fana:delivery:' .. id
    local delivery = redis.call('HMGET', key, 'status', 'endpoint')
    if not keep_pending or delivery[1] ~= 'pending' then
      redis.call('DEL', key)
      redis.call('ZREM', 'fana:due', id)
      if delivery[2] then redis.call('ZREM', delivery_index(owner.tenant, delivery[2]), id) end
    end
  end
end
