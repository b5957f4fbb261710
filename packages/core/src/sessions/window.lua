-- Reads the turns of a window, backwards from the newest, until the next one does not fit. Turns outside cost nothing, but the first of them.
-- KEYS  1 turns hash
-- ARGV  1 number of the turn that asks  2 budget (tokens)  3 '1' = pictures are shown, so they are counted  4 turns without an answer that are
--       passed over at most
-- Returns { turns left out (those without an answer among them), line, line, … } newest first
local left = tonumber(ARGV[2])
local passed = 0
local window = { 0 }
for number = tonumber(ARGV[1]) - 1, 1, -1 do
  local line = redis.call('HGET', KEYS[1], number)
  local text, pictures = string.match(line or '', '^(%d+)%+(%d+) ')
  if text then
    local cost = tonumber(text)
    if ARGV[3] == '1' then cost = cost + tonumber(pictures) end
    if cost > left then
      window[1] = number
      return window
    end
    left = left - cost
    window[#window + 1] = line
  else
    passed = passed + 1
    if passed > tonumber(ARGV[4]) then
      window[1] = number
      return window
    end
  end
end
return window
