--- @include standing
--- @include unique
--- @include replace
--- @include leave
--- @include entry
--- @include load
-- Who a new job is: whether its id and its key are free, and what is to happen where they are not.

-- Whether the newest execution of a job that finished has left a value.
local function has_value(job_id, cycle)
  local newest = newest_entry(job_id)
  return newest and entry_field(newest, E.type) == '1' and entry_field(newest, E.value)
    and (entry_field(newest, E.cycle) or '1') == (cycle or '1')
end

-- A job that is to be joined, and has ended: 'cached' where it left a value, 'failed' where that is to be told, or nil.
local function join_ended(job_id, old, wish)
  if old[1] == 'finished' and has_value(job_id, old[3]) then return 'cached' end
  return old[1] == 'failed' and wish == 'join_or_raise' and 'failed' or nil
end

-- The jobs in the way of this one: that of its id where it lives, and the one that holds its key.
local function in_the_way(job_id, word, unique)
  local found = word == 'duplicate' and {job_id} or {}
  local holder = unique ~= '' and holder_of(unique)
  if holder and holder ~= found[1] then found[#found + 1] = holder end
  return found
end

-- What is to be known of them to cancel them; nil, and which, where one of them cannot be.
local function waiting_ones(jobs, job_id, unique)
  local loaded = {}
  for index, other in ipairs(jobs) do
    loaded[index] = load_waiting(other, other ~= job_id and unique)
    if not loaded[index] then return nil, other end
  end
  return loaded
end

-- The nonces that the notice of a replaced cycle names: of that cycle, and of those before it that were replaced too; and
-- the number of that cycle.
local function nonces_of(job_id, notice)
  local entry = notice and redis.pcall('XRANGE', key_results(job_id), notice, notice)[1]
  if not entry then return '', 0 end
  return entry_field(entry, E.nonce) or '', tonumber(entry_field(entry, E.cycle)) or 1
end

-- The number of the cycle that a call sent again has begun, where it was replaced since, and nobody has claimed the job.
local function replaced_cycle(job_id, nonce, notice)
  local nonces, cycle = nonces_of(job_id, notice)
  for one in string.gmatch(nonces, '%S+') do
    if one == nonce then return cycle end
    cycle = cycle - 1
  end
  return nil
end

-- identify(job_id, nonce, unique, wish, is_new, before, kept): what enqueueing it comes to:
--   new | cycle: it is to be written. Where it takes the place of others these are canceled now, after a call of
--                `before`; without one nothing is done
--   replayed: it was written by this very call, sent before; another call may have replaced it since
--   duplicate | held: there is another job in the way, which is an error | what the caller wants
--   mixed: it would replace a job that stays for the sake of one before it in the call
--   cached | failed: the one it wants has ended so
-- with what is stored under its id, the id of the other job, and the notice of a canceled cycle of its own. `is_new`:
-- nothing is known of its id. kept: {id = true} of jobs that stay.
local function identify(job_id, nonce, unique, wish, is_new, before, kept)
  local word, old = 'new', {}
  if not is_new then word, old = look_at(job_id, nonce) end
  if word == 'replayed' then return word, old, job_id end
  local replaced = word ~= 'new' and old[6] and nonce ~= '' and replaced_cycle(job_id, nonce, old[6])
  if replaced then return 'replayed', {'canceled', nonce, replaced}, job_id end
  local joins = wish == 'join' or wish == 'join_or_raise'
  local ended = joins and word == 'cycle' and join_ended(job_id, old, wish)
  if ended then return ended, old, job_id end
  local jobs = in_the_way(job_id, word, unique)
  if #jobs == 0 then return word, old end
  if joins or wish == 'return' then return 'held', old, jobs[1] end
  if wish ~= 'replace' then return 'duplicate', old, jobs[1] end
  for _, other in ipairs(jobs) do
    if kept[other] then return 'mixed', old, other end
  end
  local loaded, other_one = waiting_ones(jobs, job_id, unique)
  if not loaded then return 'duplicate', old, other_one end
  if not before then return word == 'duplicate' and 'cycle' or word, old end
  before()
  local notice
  for index, other in ipairs(jobs) do
    local named = nil
    if other == job_id then named = (old[2] or '-') .. ' ' .. string.sub((nonces_of(job_id, old[6])), 1, C.NONCES_KEPT) end
    leave('cancel', other, loaded[index], 'canceled', named)
    if named then notice = newest_entry(other)[1] end
  end
  if not is_new then word, old = look_at(job_id, nonce) end
  return word, old, nil, notice
end
