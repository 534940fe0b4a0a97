--- @flags allow-oom
-- want: a waiter says until when it will look for what becomes of a job. A live job keeps the latest such moment, before
-- which its end does not let it expire; of one that has ended, what is left stays that long. Nothing is shortened.
-- KEYS: prefix
-- ARGV: now, job id, ms from now, mode ('live' leaves alone what has ended | 'all')
-- Answers: 1 what becomes of it stays until then or longer | 0 nothing is left of it, or nothing was to be done
--- @include now
--- @include allowed
--- @include entry
--- @include end
--- @include wanted
local job_id, moment, all = ARGV[2], string.format('%.0f', now + ARGV[3]), ARGV[4] == 'all'
local key, stream = key_job(job_id), key_results(job_id)
local got = call('HMGET', key, F.status, F.queue, F.wanted)
if got[1] and not allowed('delete', got[1]) then return 0 end -- something else has written it
if got[1] and not allowed('requeue', got[1]) then
  local latest = no_earlier(moment, got[3])
  if latest ~= got[3] then call('HSET', key, F.wanted, latest, F.extra, '1') end
  return 1
end
if not all then return 0 end
-- -1: for ever; -2: gone
local expires_at = call('PEXPIRETIME', got[1] and key or stream)
if expires_at == -2 then return 0 end
if expires_at == -1 or expires_at >= tonumber(moment) then return 1 end
if got[1] then
  date(job_id, moment, true, true)
  call('ZADD', key_home(got[1], got[2]), 'XX', moment, job_id)
  return 1
end
local newest = newest_entry(job_id)
if not newest or entry_field(newest, E.notice) then return 0 end -- it was deleted, and that word is for 5 s
call('PEXPIREAT', stream, moment)
return 1
