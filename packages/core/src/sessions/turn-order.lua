-- For scripts that accept, end, retry or erase jobs: `-- @include ../sessions/turn-order.lua` puts these functions before them.
-- The jobs of a session run one after another. What keeps their order:
--   fana:session:ID        hash; `last_turn`: number of the newest turn; `current`: the job that may run now; it alone has a message
--   fana:session:ID:turns  hash: number of a turn → its line (turn.ts)
--   fana:session:ID:open   zset of the jobs that have not ended; score: number of their turn. The lowest is next
--   fana:job:ID            `session`, `turn`, and `waiting` while another job of the session is the current one

local function session_key(id) return 'fana:session:' .. id end

-- Every use puts off the expiry.
local function touch_session(id, ttl_ms, now_ms)
  local expires = string.format('%.0f', now_ms + tonumber(ttl_ms))
  redis.call('HSET', session_key(id), 'expires_ms', expires)
  redis.call('ZADD', 'fana:sessions', expires, id)
end

-- Puts a job among those that have not ended. Returns whether it has to wait for another.
local function queue_turn(id, turn, job_id)
  local key = session_key(id)
  redis.call('ZADD', key .. ':open', turn, job_id)
  if redis.call('HGET', key, 'current') then
    redis.call('HSET', 'fana:job:' .. job_id, 'waiting', '1')
    return true
  end
  redis.call('HSET', key, 'current', job_id)
  return false
end

-- A job has ended, or is erased: if it was the current one, the next takes its place; the sweep looks for the message of that one 5 s later.
-- Returns the id of that next job, whose message is to be sent, or ''.
local function leave_turn(id, job_id, now_ms)
  local key = session_key(id)
  redis.call('ZREM', key .. ':open', job_id)
  local session = redis.call('HMGET', key, 'current', 'ttl_ms')
  if not session[2] then return '' end
  touch_session(id, session[2], now_ms)
  if session[1] ~= job_id then return '' end
  local next_job = redis.call('ZRANGE', key .. ':open', 0, 0)[1]
  if not next_job then
    redis.call('HDEL', key, 'current')
    return ''
  end
  redis.call('HSET', key, 'current', next_job)
  redis.call('HDEL', 'fana:job:' .. next_job, 'waiting')
  redis.call('ZADD', 'fana:due', string.format('%.0f', now_ms + 5000), next_job)
  return next_job
end

-- What the user said and what was answered, at the end of the run.
local function write_turn(id, turn, line)
  if redis.call('HEXISTS', session_key(id) .. ':turns', turn) == 1 then redis.call('HSET', session_key(id) .. ':turns', turn, line) end
end
