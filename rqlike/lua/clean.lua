--- @flags allow-oom
-- clean: deletes jobs of one queue that have been in a status for long enough, from a cursor on; it looks at up to 500.
-- KEYS: prefix
-- ARGV: now, nonce, queue, status, moment by which they must have ended or been created ('' now less older_ms), older_ms,
--       score and id of the cursor ('' the beginning), most to delete
-- Answers: {deleted, that moment, score ('' at the end) and id of the next cursor}
--          The same nonce again is answered the same, and deletes nothing, for 5 s.
--- @include now
--- @include allowed
--- @include answers
--- @include entry
--- @include erase
--- @include aged
local nonce, queue = ARGV[2], ARGV[3]
local before = answered(nonce)
if before then return before end
local home = key_home(ARGV[4], queue)
-- Whatever one of them raises, what the others share is put away.
local whole, found = pcall(walk_aged, queue, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9]),
  function(job_id)
    local got = redis.pcall('HMGET', key_job(job_id), unpack(ERASE_FIELDS))
    if is_whole(got) then erase(job_id, got, '') else erase_strange(job_id, '') end
    call('ZREM', home, job_id)
  end)
erased()
if untold then
  --- @include told
  tell_now()
end
if not whole then error(found) end
return answer(nonce, unpack(found))
