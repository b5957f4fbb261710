-- Accepts N submissions in one step: idempotency, requests per minute, record, index, time of first check.
-- Everything that many items share is done once: counters are read and written once a key, each sorted set gets one ZADD.
-- KEYS  1 due zset (score: unix ms of the next check by the sweep)
-- ARGV  1 first check after (ms), then 2 values an item: its fields joined by the unit separator (0x1f), and its spec (JSON).
--       Fields: job id, tenant, job type, key id, requests per minute (0 = unlimited), hash of the idempotency key ('' = none),
--       body fingerprint, run at (ms, 0 = now), deadline seconds (0 = none). Joined, because every argument costs client and server.
--       Behind the deadline, after a space, what few jobs have and which so costs the others nothing: `j` and how a repetition of the
--       request finds the job (digest, waiter token, lease ms, seconds to keep, each after a space; see join.lua), or `s` and its session
--       (1 or 0: whether its turn makes or shows a picture; then the session id). No job has both.
-- Returns the time of acceptance (unix ms), then 3 integers an item: 1 accepted, 2 replayed, 3 mismatch, 4 limited, 5 accepted and waiting
--       for an earlier job of its session, 6 no such session, 7 session ended; remaining requests (-1 = no limit); reset s; and at the end
--       the job ids of the replayed ones. Flat, because a nested reply costs the reader most.
-- All keys are built here: one Redis primary, no cluster (redis.ts refuses one).
-- @include ../sessions/turn-order.lua
local FIELDS = '^' .. string.rep('([^\31]*)\31', 8) .. '([^\31]*)$'
local LONGEST_DEADLINE = 10
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now = string.format('%d', now_ms)
local now_us = time[1] * 1000000 + time[2]
local minute = math.floor(time[1] / 60)
local into_minute = time[1] % 60 + time[2] / 1000000
local check_after = tonumber(ARGV[1])
local usual_check = string.format('%d', now_ms + check_after)

-- Sliding window over two one-minute counters: exact under concurrency, at most N in the estimated last 60 s.
local windows = {}
local function window_of(key_id)
  local window = windows[key_id]
  if not window then
    local key = 'fana:rpm:' .. key_id .. ':' .. minute
    local counts = redis.call('MGET', key, 'fana:rpm:' .. key_id .. ':' .. (minute - 1))
    window = { key = key, current = tonumber(counts[1] or '0'), previous = tonumber(counts[2] or '0'), taken = 0 }
    windows[key_id] = window
  end
  return window
end
local function take_request(key_id, limit)
  local window = window_of(key_id)
  local used = window.previous * (1 - into_minute / 60) + window.current
  if used + 1 > limit then
    local wait = 60 - into_minute
    if window.current + 1 <= limit and window.previous > 0 then wait = (used + 1 - limit) / window.previous * 60 end
    return false, 0, math.max(1, math.ceil(wait))
  end
  window.current = window.current + 1
  window.taken = window.taken + 1
  return true, math.floor(limit - used - 1), math.ceil(60 - into_minute)
end

-- Idempotency keys of a tenant are fields of one hash a day, today's and yesterday's are looked at: a key of its own with an expiry
-- costs Redis three times as much. Value: fingerprint|job id|unix seconds; kept 24 h to the second by that last part.
local DAY = 86400
local today = math.floor(time[1] / DAY)
local remembered, replayed, had_yesterday = {}, {}, {}
local function bucket(tenant, day) return 'fana:idem:' .. tenant .. ':jobs:' .. day end
local function seen_before(tenant, key)
  local seen = redis.call('HGET', bucket(tenant, today), key)
  if not seen then
    if had_yesterday[tenant] == nil then had_yesterday[tenant] = redis.call('EXISTS', bucket(tenant, today - 1)) == 1 end
    if had_yesterday[tenant] then seen = redis.call('HGET', bucket(tenant, today - 1), key) end
  end
  if not seen then return nil end
  local fingerprint, id, at = string.match(seen, '^([^|]*)|([^|]*)|(.*)$')
  if time[1] - at >= DAY then return nil end
  return fingerprint, id
end
local function remember(tenant, key, value)
  redis.call('HSET', bucket(tenant, today), key, value)
  remembered[tenant] = true
end

-- Appends the job's turn to its session. Returns whether it has to wait for an earlier one.
local function append_turn(session, shows, id)
  local key = session_key(session)
  local turn = redis.call('HINCRBY', key, 'last_turn', 1)
  redis.call('HSET', 'fana:job:' .. id, 'session', session, 'turn', turn)
  redis.call('HSET', key .. ':turns', turn, '- {"job":"' .. id .. '","at":' .. now .. '}')
  redis.call('HSET', key, 'shows', shows)
  touch_session(session, redis.call('HGET', key, 'ttl_ms'), now_ms)
  return queue_turn(session, turn, id)
end

-- Why no job may join this session: 6 or 7.
local function session_refusal(session, tenant)
  local found = redis.call('HMGET', session_key(session), 'tenant', 'expires_ms', 'ended_ms')
  if found[1] ~= tenant then return 6 end
  if found[3] then return 7 end
  if tonumber(found[2]) <= now_ms and redis.call('EXISTS', session_key(session) .. ':open') == 0 then return 6 end
  return nil
end

local due, indexes = {}, {}
local function record(id, tenant, job_type, spec, run_at, deadline, index, waits)
  redis.call('HSET', 'fana:job:' .. id, 'spec', spec, 'status', 'queued', 'type', job_type, 'run', '1', 'created_ms', now)
  local members = indexes[tenant]
  if not members then
    members = {}
    indexes[tenant] = members
  end
  members[#members + 1] = string.format('%d', now_us + index)
  members[#members + 1] = id
  -- One that waits has no message to be looked for: whoever ends the job before it sees to that.
  if waits then
    if deadline ~= '0' then
      due[#due + 1] = string.format('%d', now_ms + tonumber(deadline) * 1000)
      due[#due + 1] = id
    end
    return
  end
  if run_at == '0' and deadline == '0' then
    due[#due + 1] = usual_check
    due[#due + 1] = id
    return
  end
  local check = now_ms + check_after
  if run_at ~= '0' then check = math.max(now_ms, tonumber(run_at)) + check_after end
  if deadline ~= '0' then check = math.min(check, now_ms + tonumber(deadline) * 1000) end
  due[#due + 1] = string.format('%d', check)
  due[#due + 1] = id
end

-- The caller that waits for the job has its place from the first moment, so that no repetition takes it for an orphan.
local function let_join(id, join)
  local digest, waiter, lease_ms, kept_seconds = string.match(join, '^(%S+) (%S+) (%d+) (%d+)$')
  redis.call('HSET', 'fana:job:' .. id, 'waiter', waiter, 'waiter_ms', string.format('%d', now_ms + tonumber(lease_ms)))
  redis.call('ZADD', 'fana:join:' .. digest, now, id)
  redis.call('EXPIRE', 'fana:join:' .. digest, kept_seconds)
end

local function accept(fields, spec, index)
  local id, tenant, job_type, key_id, limit, idempotency_key, body, run_at, deadline = string.match(fields, FIELDS)
  local kind, extra
  if #deadline > LONGEST_DEADLINE then deadline, kind, extra = string.match(deadline, '^(%d+) (%a)(.+)$') end
  local session = kind == 's' and string.sub(extra, 2) or ''
  if idempotency_key ~= '' then
    local fingerprint, first_id = seen_before(tenant, idempotency_key)
    if fingerprint then
      if fingerprint ~= body then return 3, -1, 0 end
      replayed[#replayed + 1] = first_id
      return 2, -1, 0
    end
  end
  if session ~= '' then
    local refusal = session_refusal(session, tenant)
    if refusal then return refusal, -1, 0 end
  end
  local remaining, reset = -1, 0
  if limit ~= '0' then
    local allowed
    allowed, remaining, reset = take_request(key_id, tonumber(limit))
    if not allowed then return 4, 0, reset end
  end
  if idempotency_key ~= '' then remember(tenant, idempotency_key, body .. '|' .. id .. '|' .. time[1]) end
  local waits = session ~= '' and append_turn(session, string.sub(extra, 1, 1), id)
  record(id, tenant, job_type, spec, run_at, deadline, index, waits)
  if kind == 'j' then let_join(id, extra) end
  return waits and 5 or 1, remaining, reset
end

local replies = { now }
for i = 0, (#ARGV - 1) / 2 - 1 do
  local at = 2 + i * 3
  replies[at], replies[at + 1], replies[at + 2] = accept(ARGV[2 + i * 2], ARGV[3 + i * 2], i)
end
for tenant, members in pairs(indexes) do redis.call('ZADD', 'fana:tenant:' .. tenant .. ':jobs', unpack(members)) end
if #due > 0 then redis.call('ZADD', KEYS[1], unpack(due)) end
for tenant in pairs(remembered) do redis.call('EXPIRE', bucket(tenant, today), 2 * DAY) end
for _, window in pairs(windows) do
  if window.taken > 0 then
    redis.call('INCRBY', window.key, window.taken)
    redis.call('EXPIRE', window.key, 130)
  end
end
for _, id in ipairs(replayed) do replies[#replies + 1] = id end
return replies
