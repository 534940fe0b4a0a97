-- now: the server's clock in ms, or the moment a test injects as ARGV[1]; stamp: the same as text, since a number given
-- to a command is spelled out anew each time.
local now = tonumber(ARGV[1])
if not now then
  local clock = call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
local stamp = string.format('%.0f', now)
