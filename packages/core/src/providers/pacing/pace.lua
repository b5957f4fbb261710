-- One look of a process at the lanes (a provider's model each) it calls: it says what became of its calls, and hears which waiting ones may go.
-- KEYS  the lanes: hashes of numbers; a field p:PROCESS holds 'interactive batch seen_ms', the calls a process has in flight
-- ARGV  1 now (unix ms; '' = the clock of Redis: only tests give one)  2 process  3 jitter of pauses (1 to 1.2)
--       4… a JSON each lane: LaneLook in store.ts
-- Returns a list each lane: { now, granted interactive, granted batch, then of the first interactive and of the first batch call that has to
--       wait: why ('' = none waits, 'limited', 'overloaded', 'full', 'meter') and ms, then ms between two requests and between two pictures
--       (0 = no meter), processes with calls in flight }
--
-- Meters are GCRA: `requests` and `images` hold the time at which all that was let go is paid for. A limit of N a minute is paid at 0.95 N,
-- and a call may come up to TOLERANCE before its time. So any 60 s at the upstream see at most 0.95 N (1 + (tolerance + delay) / 60 s) + 1 calls:
-- within N for delays between grant and arrival that differ by up to 2 s, whether it counts by fixed windows, sliding ones or a bucket.
local PAID = 0.95
local TOLERANCE = { interactive = 1000, batch = 500 }
local MINUTE = 60000
-- What batches may use of meters and limit while interactive calls have asked within the last minute.
local BATCH_SHARE = 0.7
-- Calls in flight: batches start with so many and gain one each success; after the first 429 one each `limit` successes, for both classes.
local FIRST_LIMIT, MAX_LIMIT, CUT = 32, 1000, 0.7
-- A 429 among fewer calls than this is answered by its pause alone, if it is the first in a minute: few in flight are rarely too many.
local FEW = 8
-- A limit grows only while it holds somebody up: so recently.
local USED_MS = 2000
-- A rate nobody told: a 429 makes what went through in the last minute the limit of a minute, from MIN_RATE on (below it, pauses do). While
-- it holds calls back it grows every STEP_MS, by 2 % and then twice as much each time, up to so much; after a second cut more carefully.
local MIN_RATE, STEP_MS, RATE_CUT, FIRST_STEP, BOLD_STEP, CAREFUL_STEP = 30, 10000, 0.9, 0.02, 0.5, 0.1
-- A 429 that asks for so short a pause may come for no reason of ours: some upstreams refuse a few calls now and then, whoever asks. It is
-- taken for a limit a minute once a whole minute is known, or when so many of those in flight (at least CROWD) are refused with it.
local SHORT_PAUSE_MS, CROWD, CROWD_SHARE = 5000, 4, 0.25
-- When such 429s have cut the rate this far below what a whole minute let through, they are about something else, and for so long no rate is
-- learned from them. A minute counts for less as it grows old.
local KNOWN_SHARE, UNRATED_MS, FADE = 0.75, 300000, 0.9
-- After a pause the limit comes back over this long, so that not everybody who waited calls at once.
local RAMP_MS = 2000
-- A process that was not seen for so long is dead, and its calls with it.
local DEAD_MS = 10000
-- A pause whose length nobody said: doubled each time in a row.
local PAUSE_MS, MAX_PAUSE_MS = 1000, 60000
local KEPT_MS = 3600000
-- What was learned and has held nobody up for so long is forgotten: it says nothing about now.
local STALE_MS = 300000

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + time[2] / 1000
end
local me, jitter = 'p:' .. ARGV[2], tonumber(ARGV[3])

-- The numbers of a lane, and what the other processes have in flight.
local function read(key)
  local lane, busy, processes = {}, { interactive = 0, batch = 0 }, 1
  local flat = redis.call('HGETALL', key)
  for at = 1, #flat, 2 do
    local field, value = flat[at], flat[at + 1]
    if string.sub(field, 1, 2) ~= 'p:' then
      lane[field] = tonumber(value)
    elseif field ~= me then
      local interactive, batch, seen = string.match(value, '^(%d+) (%d+) (%d+)$')
      if now - seen > DEAD_MS then
        redis.call('HDEL', key, field)
      else
        busy.interactive, busy.batch, processes = busy.interactive + interactive, busy.batch + batch, processes + 1
      end
    end
  end
  return lane, busy, processes
end

local function pause_of(asked, streak)
  if not asked or asked <= 0 then asked = math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ^ (streak - 1)) end
  return now + asked * jitter
end

local function drop(key, lane, fields)
  for _, field in ipairs(fields) do
    lane[field] = nil
    redis.call('HDEL', key, field)
  end
end

local RATE = { 'rate_requests', 'rate_images', 'rate_cuts', 'rate_step', 'rate_ms' }

local function forget(key, lane)
  local since = now - math.max(lane.cut or 0, lane.full or 0, lane.metered or 0)
  if since <= STALE_MS or not (lane.learned or lane.rate_ms) then return end
  drop(key, lane, { 'learned', 'limit' })
  drop(key, lane, RATE)
end

-- What went through in a minute: the last whole one, or what there is of this one.
local function count_minute(lane, count)
  if now - (lane.minute or 0) >= MINUTE then
    lane.minute_before = now - (lane.minute or 0) < 2 * MINUTE and lane.minute_count or 0
    lane.best = math.max(FADE * (lane.best or 0), lane.minute_before)
    lane.minute, lane.minute_count = now, 0
  end
  lane.minute_count = math.max(0, (lane.minute_count or 0) + count)
end

-- Whether a 429 says anything of a rate.
local function is_about_rate(lane, asked_ms)
  if asked_ms > SHORT_PAUSE_MS or lane.round >= math.max(CROWD, CROWD_SHARE * lane.round_flying) then return true end
  return (lane.best or 0) > 0 and now >= (lane.unrated or 0)
end

local function learn_rate(key, lane, asked_ms)
  if not is_about_rate(lane, asked_ms) then return end
  local name = lane.pictures and 'images' or 'requests'
  local recent, rate = math.max(lane.minute_before or 0, lane.minute_count or 0), lane['rate_' .. name]
  if rate then
    rate = math.max(MIN_RATE, math.min(RATE_CUT * rate, math.max(recent, rate / 2)))
    if asked_ms <= SHORT_PAUSE_MS and rate < KNOWN_SHARE * (lane.best or 0) then
      lane.unrated = now + UNRATED_MS
      return drop(key, lane, RATE)
    end
    lane['rate_' .. name] = rate
  elseif recent >= MIN_RATE then
    lane['rate_' .. name] = recent
  else
    return
  end
  lane.rate_cuts, lane.rate_step, lane.rate_ms = (lane.rate_cuts or 0) + 1, FIRST_STEP, now
end

local function grow_rate(lane)
  if now - (lane.metered or 0) > USED_MS or now - math.max(lane.rate_ms or now, lane.pause or 0) < STEP_MS then return end
  for _, name in ipairs({ 'requests', 'images' }) do
    if lane['rate_' .. name] then lane['rate_' .. name] = lane['rate_' .. name] * (1 + lane.rate_step) end
  end
  lane.rate_ms, lane.rate_step = now, math.min(lane.rate_cuts > 1 and CAREFUL_STEP or BOLD_STEP, 2 * lane.rate_step)
end

-- What became of calls. One 429 of those that were let go before the last cut is that cut's own: nothing is cut twice.
local function hear(key, lane, report, busy)
  if report.requests_per_minute then lane.rpm = report.requests_per_minute end
  if report.pause_ms then lane.pause = math.max(lane.pause or 0, now + report.pause_ms) end
  if report.succeeded > 0 then
    if report.succeeded_granted > (lane.cut or 0) then lane.streak = 0 end
    if report.succeeded_granted > (lane.strained or 0) then lane.overload_streak = 0 end
    if now - (lane.full or 0) <= USED_MS then
      local limit = lane.limit or FIRST_LIMIT
      -- Each minute without a 429 the search goes twice as fast, until it is as at first.
      local speed = lane.learned and math.min(1, 2 ^ math.floor((now - lane.cut) / MINUTE) / limit) or 1
      lane.limit = math.min(MAX_LIMIT, limit + speed * report.succeeded)
    end
  end
  count_minute(lane, -(lane.pictures and report.limited_images + report.unused.images or report.limited + report.unused.requests))
  if report.limited > 0 then
    local flying = busy.interactive + busy.batch + report.limited
    if report.limited_granted > (lane.cut or 0) then
      lane.round, lane.round_flying = report.limited, flying
      learn_rate(key, lane, report.limited_ms or 0)
      -- A 429 while a meter is what holds calls back is about the rate, not about the calls in flight.
      local is_rate = now - (lane.metered or 0) <= USED_MS and now - (lane.full or 0) > USED_MS
      if not is_rate and (lane.learned or flying >= FEW or now - (lane.cut or 0) <= MINUTE) then
        lane.limit = math.max(1, CUT * (lane.learned and lane.limit or flying))
        lane.learned = 1
      end
      lane.cut, lane.streak = now, (lane.streak or 0) + 1
    else
      lane.round, lane.round_flying = (lane.round or 0) + report.limited, lane.round_flying or flying
      if not (lane.rate_requests or lane.rate_images) then learn_rate(key, lane, report.limited_ms or 0) end
    end
    lane.pause = math.max(lane.pause or 0, pause_of(report.limited_ms, lane.streak))
  end
  if report.overloaded > 0 then
    if report.overloaded_granted > (lane.strained or 0) then lane.strained, lane.overload_streak = now, (lane.overload_streak or 0) + 1 end
    lane.overload = math.max(lane.overload or 0, pause_of(report.overloaded_ms, lane.overload_streak))
  end
end

-- n pictures of one call count so that as many such calls go a minute as the limit has room for, and not one more.
local function weight(n, per_minute)
  if n <= 1 then return n end
  return math.max(n, per_minute / math.max(1, math.floor(per_minute / n)))
end

-- The meters a call has to pass: { field of the lane, what the call adds to it (ms) }.
local function meters_of(limits, class, n, shared)
  local meters = {}
  for name, count in pairs({ requests = 1, images = n }) do
    local per_minute = limits[name]
    if per_minute > 0 and count > 0 then
      local cost = weight(count, per_minute) * MINUTE / (PAID * per_minute)
      meters[#meters + 1] = { name, cost }
      if shared and class == 'batch' then meters[#meters + 1] = { 'batch_' .. name, cost / BATCH_SHARE } end
    end
  end
  return meters
end

-- Whether the calls in flight leave room for one more.
local function has_room(lane, busy, class, shared)
  local total = busy.interactive + busy.batch
  local since = now - math.max(lane.pause or 0, lane.overload or 0)
  local limit = math.max(1, math.floor((lane.limit or FIRST_LIMIT) * math.min(1, since / RAMP_MS)))
  local share = math.max(1, math.floor(BATCH_SHARE * limit + 1e-6))
  if class == 'interactive' then
    if not lane.learned and since >= RAMP_MS then return true end
    -- The kept share is there at once, also while a batch that had everything still holds it.
    return total < limit or busy.interactive < math.max(1, limit - share)
  end
  return busy.batch < (shared and share or limit) and (not lane.learned or total < limit)
end

-- Lets one call go, or says why and how long it has to wait.
local function admit(lane, limits, busy, class, n, shared)
  local pause, overload = lane.pause or 0, lane.overload or 0
  if math.max(pause, overload) > now then return overload > pause and 'overloaded' or 'limited', math.max(pause, overload) - now end
  if not has_room(lane, busy, class, shared) then
    lane.full = now
    return 'full', 0
  end
  local meters = meters_of(limits, class, n, shared)
  local wait = 0
  for _, meter in ipairs(meters) do wait = math.max(wait, (lane[meter[1]] or 0) - TOLERANCE[class] - now) end
  if wait > 0 then
    lane.metered = now
    return 'meter', wait
  end
  for _, meter in ipairs(meters) do lane[meter[1]] = math.max(lane[meter[1]] or 0, now) + meter[2] end
  busy[class] = busy[class] + 1
  if n > 0 then lane.pictures = 1 end
  count_minute(lane, n > 0 and n or 1)
  return nil
end

local function every(per_minute) return per_minute > 0 and MINUTE / (PAID * per_minute) or 0 end

local function write(key, lane, own)
  local fields = {}
  for field, value in pairs(lane) do
    fields[#fields + 1] = field
    fields[#fields + 1] = string.format('%.3f', value)
  end
  if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
  if own.interactive + own.batch > 0 then
    redis.call('HSET', key, me, string.format('%d %d %.0f', own.interactive, own.batch, now))
  else
    redis.call('HDEL', key, me)
  end
  local ends = math.max(lane.pause or 0, lane.overload or 0)
  redis.call('PEXPIRE', key, string.format('%.0f', math.max(0, ends - now) + KEPT_MS))
end

local function look(key, asked)
  local lane, busy, processes = read(key)
  local own = { interactive = asked.own.interactive, batch = asked.own.batch }
  busy.interactive, busy.batch = busy.interactive + own.interactive, busy.batch + own.batch
  forget(key, lane)
  hear(key, lane, asked.report, busy)
  grow_rate(lane)
  local limits = {
    requests = asked.requests_per_minute or lane.rpm or lane.rate_requests or 0,
    images = asked.images_per_minute or lane.rate_images or 0,
  }
  local gap = { requests = every(limits.requests), images = every(limits.images) }
  -- Calls that were let go and never made are given back to the meters.
  for name, count in pairs(asked.report.unused) do
    if lane[name] then lane[name] = lane[name] - count * gap[name] end
  end
  if #asked.wanted.interactive > 0 then lane.interactive = now end
  local shared = now - (lane.interactive or 0) < MINUTE
  local reply = { 0, 0, 0, '', 0, '', 0 }
  for number, class in ipairs({ 'interactive', 'batch' }) do
    local granted, why, wait = 0, nil, 0
    for _, n in ipairs(asked.wanted[class]) do
      why, wait = admit(lane, limits, busy, class, n, shared)
      if why then break end
      granted = granted + 1
    end
    own[class] = own[class] + granted
    reply[1 + number], reply[2 + 2 * number], reply[3 + 2 * number] = granted, why or '', math.ceil(wait or 0)
  end
  write(key, lane, own)
  -- Integers travel: a millisecond more or less means nothing here, a part of one does between two calls.
  reply[1] = string.format('%.3f', now)
  reply[8], reply[9], reply[10] = string.format('%.3f', gap.requests), string.format('%.3f', gap.images), processes
  return reply
end

local replies = {}
for at, key in ipairs(KEYS) do replies[at] = look(key, cjson.decode(ARGV[3 + at])) end
return replies
