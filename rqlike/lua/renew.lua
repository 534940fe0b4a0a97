--- @flags allow-oom
-- renew: a worker says that it lives and which executions it holds; all their leases in one call.
-- KEYS: prefix
-- ARGV: now, worker, lease_ms, number of worker fields, field, value…, then per execution: job id, token
-- Answers: now, {word per execution}: ok | lost | stopped | canceled, {orders left for the worker}
--- @include now
--- @include beat
--- @include contact
local worker, lease, fields = ARGV[2], string.format('%.0f', now + ARGV[3]), tonumber(ARGV[4])
local orders = beat(worker, 5, fields)
recovery_is_open() -- whoever comes first after an outage grants the others their time, be it by a renewal
local words = {}
for at = 5 + fields, #ARGV, 2 do
  local got = redis.pcall('HMGET', key_job(ARGV[at]), F.token, F.queue, F.asked)
  if not got.err and got[1] == ARGV[at + 1] then
    -- one whose queue is not written any more lapses; the leases of the others are renewed whatever it has
    if got[2] then redis.pcall('ZADD', key_home('started', got[2]), 'XX', lease, ARGV[at]) end
    words[#words + 1] = (got[3] == 'stopped' or got[3] == 'canceled') and got[3] or 'ok'
  else
    words[#words + 1] = 'lost'
  end
end
return {now, words, orders}
