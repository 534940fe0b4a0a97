-- now: the server's clock in ms, or the moment a test injects as ARGV[1].
local now = tonumber(ARGV[1])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
