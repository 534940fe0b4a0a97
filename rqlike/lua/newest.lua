--- @flags no-writes
-- newest: the newest execution of each job, with what its callbacks left. Reads only.
-- KEYS: prefix   ARGV: now, job id…
-- Answers: per job {entries: the newest two, newest first; the second where the first is a notice}
local out = {}
for at = 2, #ARGV do
  out[#out + 1] = redis.call('XREVRANGE', key_results(ARGV[at]), '+', '-', 'COUNT', 2)
end
return out
