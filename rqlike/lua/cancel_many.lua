--- @flags allow-oom
-- cancel_many: cancels jobs one after the other, as `cancel` does, for some milliseconds; those that wait for them do as each
-- of them says.
-- KEYS: prefix   ARGV: now, nonce, job id… (≤ 500)
-- Answers: {word per job}, of at least one, perhaps not of the last ones: those are for another call. A word is the status
--          it is in now | NOJOB | WRONGSTATE status | BROKEN problem. To the same nonce a job is
--          answered the same again.
--- @include call_off
--- @include budget
local nonce, words, others_wait = ARGV[2], {}, false
for index = 3, #ARGV do
  local fine, status, more = pcall(call_off, ARGV[index], nonce, '', false)
  if not fine then
    words[#words + 1] = 'BROKEN ' .. (type(status) == 'table' and status.err or tostring(status))
  else
    words[#words + 1] = status or more
    others_wait = others_wait or (status and more)
  end
  if index % 16 == 0 and spent() then break end
end
if others_wait then
  --- @include told
  tell_now()
end
return words
