--- @flags allow-oom
-- cancel: a waiting job never starts; a started one is marked, and its worker is told to kill the horse.
-- KEYS: prefix
-- ARGV: now, job id, nonce, number of the cycle in which alone, and while it waits, it is to be canceled ('' in any), what
--       becomes of the jobs that wait for it ('run' they go on as if it had finished | '' as each of them says)
-- Answers: status it is in now ('started' where the worker has yet to act)
-- Refuses: NOJOB; WRONGSTATE status
--- @include call_off
local status, more = call_off(ARGV[2], ARGV[3], ARGV[4], ARGV[5] == 'run')
if not status then return redis.error_reply(more) end
if more then
  --- @include told
  tell_now()
end
return status
