--- @gives create
--- @include place
--- @include move
--- @include blob
--- @include drop_blobs
--- @include unique
--- @include replace
--- @include leave
--- @include in_line
-- create(job_id, template, sequence, slot): a new job from a schedule's TEMPLATE_FIELDS, queued at once, or deferred where
-- it depends on others. Whatever goes wrong, nothing is left of it. slot: the one it stands for, or nil. Answers the job
-- that holds its unique key, where there is one that stays: then nothing is made; and whether it is queued.
local TEMPLATE_FIELDS = {S.queue, S.call, S.meta, S.band, S.ttl, S.failure_ttl, S.limit, S.unique, S.wish, S.needs}

-- A key that another job holds: freed where the new one is to replace it and it still waits.
local function in_the_way(unique, wish)
  local holder = holder_of(unique)
  if not holder or wish ~= 'replace' then return holder end
  local job = load_waiting(holder, unique)
  if not job then return holder end
  leave('cancel', holder, job, 'canceled')
  return nil
end

local function write_new(job_id, template, sequence, slot)
  local queue, data, meta, band, ttl_ms, failure_ttl_ms, limit, unique = unpack(template)
  band = tonumber(band) or C.NORMAL_BAND -- as `enqueue` is given it
  local score = place(math.max(band, C.FRONT_BAND), sequence)
  local fields = {F.queue, queue, F.created, stamp, F.place, score}
  local function add(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  if slot then add(F.slot, slot) end
  if band ~= C.NORMAL_BAND and band ~= C.FRONT_BAND then add(F.band, math.abs(band)) end
  if (limit or '') ~= '' or (unique or '') ~= '' or (ttl_ms or '') ~= '' then add(F.extra, '1') end
  if limit and limit ~= '' then add(F.limit, limit) end
  if unique and unique ~= '' then
    add(F.unique, unique)
    take_key(unique, job_id)
  end
  if failure_ttl_ms and failure_ttl_ms ~= '' then add(F.failure_ttl, failure_ttl_ms) end
  local needs = template[10]
  local put_in_line = nil
  if needs and needs ~= '' then
    put_in_line = in_line(job_id, queue, needs, sequence)
  end
  if ttl_ms and ttl_ms ~= '' and put_in_line then
    add(F.ttl, ttl_ms)
  elseif ttl_ms and ttl_ms ~= '' then
    local deadline = string.format('%.0f', now + tonumber(ttl_ms))
    add(F.ttl_deadline, deadline)
    call('ZADD', key_ttl(queue), deadline, job_id)
  end
  put_blob(fields, F.call, job_id, data)
  if meta and meta ~= '' then put_blob(fields, F.meta, job_id, meta) end
  call('SADD', key_queues(), queue)
  if put_in_line then return put_in_line(fields) end
  enter('fire', job_id, queue, nil, 'queued', score, fields)
  return true
end

function create(job_id, template, sequence, slot)
  local unique = template[8]
  if unique and unique ~= '' then
    local holder = in_the_way(unique, template[9])
    if holder then return holder end
  end
  local fine, problem = pcall(write_new, job_id, template, sequence, slot)
  if fine then return nil, problem end
  if unique and unique ~= '' then
    let_go(job_id, unique, true)
  end
  redis.pcall('ZREM', key_home('queued', template[1] or ''), job_id)
  redis.pcall('ZREM', key_home('deferred', template[1] or ''), job_id)
  redis.pcall('ZREM', key_ttl(template[1] or ''), job_id)
  call('DEL', key_job(job_id))
  drop_blobs(job_id)
  error(problem, 0)
end

local function remember(key, fire)
  local name = key_fires(key)
  if type(redis.pcall('LPUSH', name, fire)) == 'table' then
    call('DEL', name) -- of another type, so not ours
    call('LPUSH', name, fire)
  end
  call('LTRIM', name, 0, C.FIRES_KEPT - 1)
end
