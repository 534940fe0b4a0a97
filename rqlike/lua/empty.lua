--- @flags allow-oom
-- empty: deletes up to 500 jobs of one queue that are in some statuses, from the heads of their homes.
-- KEYS: prefix   ARGV: now, nonce, queue, limit, status…
-- Answers: {deleted, left}. The same nonce again is answered the same, and deletes nothing, for 5 s.
--- @include now
--- @include allowed
--- @include answers
--- @include drain
local nonce, queue, room = ARGV[2], ARGV[3], math.min(tonumber(ARGV[4]), C.TOUCH_LIMIT)
local before = answered(nonce)
if before then return before end
local deleted, left = 0, 0
-- Whatever one of them raises, what the others share is put away.
local fine, problem = pcall(function()
  for index = 5, #ARGV do
    local gone, taken = drain(ARGV[index], queue, room)
    deleted, room = deleted + gone, room - taken
    left = left + call('ZCARD', key_home(ARGV[index], queue))
  end
end)
erased()
if untold then
  --- @include told
  tell_now()
end
if not fine then error(problem) end
return answer(nonce, deleted, left)
