-- notify(job_id, kind, cycle, nonce, reason): a notice wakes the waiters of a job that left without an execution.
-- It is not part of the history, so it does not count in the 10, and a new cycle takes it out again.
-- Most such jobs have no history yet: a stream of one entry is made under another key and copied, as in `append`, or each
-- would take 4 kB for as long as its failure_ttl.
local function notify(job_id, kind, cycle, nonce, reason)
  local stream, scratch = key_results(job_id), key_scratch()
  local notice = {E.notice, kind, E.cycle, cycle or 1, E.nonce, nonce or '', reason and E.reason, reason}
  if call('EXISTS', stream) == 0 then
    call('DEL', scratch) -- whatever it is: only a script that failed, or a stranger, has left it there
    call('XADD', scratch, '*', unpack(notice))
    call('COPY', scratch, stream)
    call('DEL', scratch)
    return
  end
  call('XADD', stream, '*', unpack(notice))
end

local function entry_field(entry, field)
  for at = 1, #entry[2], 2 do
    if entry[2][at] == field then return entry[2][at + 1] end
  end
  return nil
end

-- Whether the call that bore `nonce` has led to this entry; a notice may name two, of who made the job and who ended it.
local function entry_answers(entry, nonce)
  local found = false
  for at = 1, #entry[2], 2 do
    if entry[2][at] == E.nonce then
      if entry[2][at + 1] == nonce then return true end
      found = true
    end
  end
  return not found and nonce == ''
end

local function newest_entry(job_id)
  return call('XREVRANGE', key_results(job_id), '+', '-', 'COUNT', 1)[1]
end
