-- Appends a piece of output to the event stream, if the lease is still held. A command that the client sends again after a cut
-- connection is the piece that was appended last: it is not appended twice.
-- KEYS  1 job hash  2 event stream
-- ARGV  1 lease token  2 attempt number  3 delta (text of the first answer)  4 job id  5 number of the piece within the attempt
--       6 what else the piece adds to answers (JSON, or '')
-- Returns 1, or 0 when another worker holds the job
local record = redis.call('HMGET', KEYS[1], 'lease', 'published')
if record[1] ~= ARGV[1] then return 0 end
local piece = ARGV[2] .. ':' .. ARGV[5]
if record[2] == piece then return 1 end
redis.call('HSET', KEYS[1], 'published', piece)
local time = redis.call('TIME')
local entry = { 'type', 'output.delta', 'attempt', ARGV[2], 'at', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), 'delta', ARGV[3] }
if ARGV[6] ~= '' then
  entry[#entry + 1] = 'choices'
  entry[#entry + 1] = ARGV[6]
end
redis.call('XADD', KEYS[2], '*', unpack(entry))
redis.call('PUBLISH', 'fana:job:' .. ARGV[4], '')
return 1
