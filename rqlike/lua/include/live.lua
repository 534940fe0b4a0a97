-- date_live(job_id, at): what a job has told ends with it. Its streams are made exact: nothing more comes into them, and
-- the node that is written to takes 4 kB whatever is in it.
local function tighten(stream)
  call('COPY', stream, key_scratch(), 'REPLACE')
  call('COPY', key_scratch(), stream, 'REPLACE')
  call('DEL', key_scratch())
end

local function date_live(job_id, at)
  local live, log = key_live(job_id), key_log(job_id)
  if call('EXISTS', live) == 1 then tighten(live) end
  local lines = redis.pcall('XLEN', log)
  if type(lines) == 'number' and lines > 0 and lines <= C.TIGHT_LINES then tighten(log) end
  call('PEXPIREAT', live, at)
  call('PEXPIREAT', log, at)
end
