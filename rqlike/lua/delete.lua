--- @flags allow-oom
-- delete: jobs are gone at once, whatever their status; a running one loses its token, and its horse is killed.
-- KEYS: prefix
-- ARGV: now, nonce, what becomes of the jobs that wait for them ('delete' they go too | '' as each of them says), job id…
-- Answers: {word per job}: ok | NOJOB. The same nonce again is answered 'ok' for 5 s.
--- @include now
--- @include allowed
--- @include entry
--- @include ask
--- @include erase
local nonce, words = ARGV[2], {}
dependents_too = ARGV[3] == 'delete'

local function delete(job_id)
  local got = redis.pcall('HMGET', key_job(job_id), unpack(ERASE_FIELDS))
  if is_whole(got) then
    if got[1] == 'started' then ask(job_id, 'deleted') end
    erase(job_id, got, nonce)
    return 'ok'
  elseif call('EXISTS', key_job(job_id)) == 1 then
    erase_strange(job_id, nonce)
    return 'ok'
  end
  local trace = newest_entry(job_id)
  return trace and nonce ~= '' and entry_answers(trace, nonce) and 'ok' or 'NOJOB'
end

-- Whatever one of them raises, what the others share is put away.
local fine, problem = pcall(function()
  for index = 4, #ARGV do words[#words + 1] = delete(ARGV[index]) end
end)
erased()
if untold then
  --- @include told
  tell_now()
end
if not fine then error(problem) end
return words
