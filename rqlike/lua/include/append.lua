-- append(job_id, first, last, nonce): an execution's entry, from ARGV[first] to ARGV[last]; exactly the last 10 stay.
-- A stream with one entry costs 4.3 kB whatever is in it (its first node is allocated at 4 kB); a copy is exact. So a
-- first entry is made under another key and copied. Waiters are served: the key is made before their eyes.
local function append(job_id, first, last, nonce)
  local stream, size, is_first = key_results(job_id), 0, true
  for at = first, last, 2 do
    local name = ARGV[at]
    if name == E.attempt or name == E.cycle then is_first = false end -- which say nothing where they are 1
    size = size + #ARGV[at + 1]
  end
  if is_first and size < 2048 then
    local scratch, id = key_scratch(), nil
    if nonce then
      id = redis.pcall('XADD', scratch, '*', E.nonce, nonce, unpack(ARGV, first, last))
    else
      id = redis.pcall('XADD', scratch, '*', unpack(ARGV, first, last))
    end
    -- where it is no stream something else has left it there: then this entry is made in its place
    local copied = type(id) == 'string' and redis.pcall('COPY', scratch, stream)
    call('DEL', scratch)
    if copied == 1 then return id end -- 0: there is a history already
  end
  if nonce then
    return call('XADD', stream, 'MAXLEN', '=', C.HISTORY_LENGTH, '*', E.nonce, nonce, unpack(ARGV, first, last))
  end
  return call('XADD', stream, 'MAXLEN', '=', C.HISTORY_LENGTH, '*', unpack(ARGV, first, last))
end
