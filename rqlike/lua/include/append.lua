-- append(job_id, first, last, nonce): an execution's entry, from ARGV[first] to ARGV[last]; exactly the last 10 stay. Answers
-- its id, and what it says of its cycle, attempt, reason and worker.
-- A stream with one entry costs 4.3 kB whatever is in it (its first node is allocated at 4 kB); a copy is exact. So a
-- first entry is made under another key and copied. Waiters are served: the key is made before their eyes.
local function append(job_id, first, last, nonce)
  local stream, size, is_first, id = key_results(job_id), 0, true, nil
  local cycle, attempt, reason, worker = nil, '1', nil, nil
  for at = first, last, 2 do
    local name = ARGV[at]
    if name == E.worker then
      worker = ARGV[at + 1]
    elseif name == E.attempt then -- which is left out where it is 1
      attempt, is_first = ARGV[at + 1], false
    elseif name == E.cycle then -- and so is this
      cycle, is_first = ARGV[at + 1], false
    elseif name == E.reason then
      reason = ARGV[at + 1]
    end
    size = size + #ARGV[at + 1]
  end
  if is_first and size < 2048 then
    local scratch = key_scratch()
    if nonce then
      id = redis.pcall('XADD', scratch, '*', E.nonce, nonce, unpack(ARGV, first, last))
    else
      id = redis.pcall('XADD', scratch, '*', unpack(ARGV, first, last))
    end
    -- where it is no stream something else has left it there: then this entry is made in its place
    local copied = type(id) == 'string' and redis.pcall('COPY', scratch, stream)
    call('DEL', scratch)
    if copied == 1 then return id, cycle, attempt, reason, worker end -- 0: there is a history already
  end
  if nonce then
    id = call('XADD', stream, 'MAXLEN', '=', C.HISTORY_LENGTH, '*', E.nonce, nonce, unpack(ARGV, first, last))
  else
    id = call('XADD', stream, 'MAXLEN', '=', C.HISTORY_LENGTH, '*', unpack(ARGV, first, last))
  end
  return id, cycle, attempt, reason, worker
end
