-- Unique keys. Under a key stands the id of the job that holds it: until that job has ended; or, where the key has a
-- time to live, for that time whatever becomes of the job. What stands there is believed only as far as the job says the
-- same, so a key that was left behind holds nothing.

-- What F.unique of a job says: for how long in ms it holds its key, '0' until it has ended, and the key; nil where it is
-- none of rqlike's. A key alone is held until the job has ended.
local function unique_of(text)
  if text == '' or #text > 300 then return nil end
  local for_ms, key = string.match(text, '^(%d+) (.+)$')
  if not key then return '0', text end
  if tonumber(for_ms) > 1e14 or (for_ms ~= '0' and tonumber(for_ms) == 0) then return nil end
  return for_ms, key
end

-- The id of the job that holds the key of `text`, or nil.
local function holder_of(text)
  local _, key = unique_of(text)
  if not key then return nil end
  local holder = redis.pcall('GET', key_unique(key))
  if type(holder) ~= 'string' then return nil end -- none, or of another type, so not ours
  if call('PTTL', key_unique(key)) > 0 then return holder end
  local got = redis.pcall('HMGET', key_job(holder), F.status, F.unique)
  if got.err or not got[2] or not allowed('cancel', got[1]) then return nil end
  local _, own = unique_of(got[2])
  return own == key and holder or nil
end

-- Whether the job has its key now, since nothing stood under it: what a new key needs is this one command.
local function take_free_key(text, job_id)
  local for_ms, key = unique_of(text)
  if not key then return false end
  if for_ms == '0' then return call('SET', key_unique(key), job_id, 'NX') ~= false end
  return call('SET', key_unique(key), job_id, 'NX', 'PX', for_ms) ~= false
end

-- The caller has asked `holder_of`.
local function take_key(text, job_id)
  local for_ms, key = unique_of(text)
  if for_ms == '0' then
    call('SET', key_unique(key), job_id)
  elseif key then
    call('SET', key_unique(key), job_id, 'PX', for_ms)
  end
end

-- let_go(job_id, text, timed): a job that has ended holds its key no more; one that is gone (`timed`) not even where the
-- key was taken for a time.
local function let_go(job_id, text, timed)
  local for_ms, key = unique_of(text)
  if not key or (for_ms ~= '0' and not timed) then return end
  if redis.pcall('GET', key_unique(key)) == job_id then call('DEL', key_unique(key)) end
end
