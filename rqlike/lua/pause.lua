--- @flags allow-oom
-- pause: workers claim nothing more from a queue, or under the name '' from any queue of the namespace. What runs goes on.
-- KEYS: prefix   ARGV: now, queue, nonce, ttl_ms ('' without an end), reason
-- Answers: 1   Refuses: nothing. The same nonce again changes nothing, also where the pause was lifted just now.
--- @include pause
local queue, nonce, ttl_ms, reason = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key = key_pauses()
local record, lifted = redis.pcall('HGET', key, queue), redis.pcall('GET', key_resumed(queue))
if type(record) == 'table' then
  call('DEL', key) -- of another type, so not ours
  record = nil
end
local _, _, of = read_pause(record or '')
if of == nonce then return 1 end
if type(lifted) == 'string' and string.match(lifted, ' (%S+)$') == nonce then return 1 end
local till = ttl_ms == '' and '-' or string.format('%.0f', now + tonumber(ttl_ms))
call('HSET', key, queue, stamp .. ' ' .. till .. ' ' .. nonce .. ' ' .. reason)
if queue ~= '' then
  call('SADD', key_queues(), queue)
  call('DEL', key_markers(queue))
else
  for _, one in ipairs(call('SMEMBERS', key_queues())) do call('DEL', key_markers(one)) end
end
return 1
