-- Writes the line of a provider call into the ledger, before the call is made.
-- KEYS  1 job hash  2 event stream
-- ARGV  1 lease token  2 provider  3 model  4 job id
-- Returns { 'begun', attempt number } | { 'lost' } (another worker holds the job) | { 'cancelling' }
local record = redis.call('HMGET', KEYS[1], 'lease', 'status', 'attempt_count', 'published', 'open_attempt')
if record[1] ~= ARGV[1] then return { 'lost' } end
if record[2] == 'cancelling' then return { 'cancelling' } end
-- A line is closed before the next is begun: one that is open is this very line, sent again because its acknowledgement was lost.
if record[5] then return { 'begun', tonumber(record[5]) } end
local time = redis.call('TIME')
local number = tonumber(record[3] or '0') + 1
local attempt = {
  number = number, provider = ARGV[2], model = ARGV[3],
  startedAt = time[1] + math.floor(time[2] / 1000) / 1000, finishedAt = cjson.null, outcome = cjson.null, error = cjson.null,
}
redis.call('HSET', KEYS[1], 'attempt:' .. number, cjson.encode(attempt), 'attempt_count', number, 'open_attempt', number)
if record[4] then
  -- Deltas of an earlier attempt were read already: tell the readers to start over.
  redis.call('HDEL', KEYS[1], 'published')
  redis.call('XADD', KEYS[2], '*', 'type', 'output.reset', 'attempt', number, 'at', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
  redis.call('PUBLISH', 'fana:job:' .. ARGV[4], '')
end
return { 'begun', number }
