--- @include now
-- plain(key, job_id, data, all_told): one new job at the end of the queue, with nothing but its call: what `enqueue` does
-- for any job, without what this one does not need. all_told: it is known that no queue is muted.
local function plain(key, job_id, data, all_told)
  local last = redis.pcall('INCRBY', key_sequence(), 1)
  if type(last) ~= 'number' then -- as in `next_sequence`
    last = now
    call('SET', key_sequence(), stamp)
  end
  local sequence = last - 1
  local score = string.format('%.0f', C.NORMAL_BAND * C.BAND_WIDTH + sequence)
  -- The job itself comes last: where one of these keys is somebody else's, nothing is left of it.
  call('SADD', key_queues(), queue)
  local rung = redis.pcall('ZADD', key_markers(queue), 'NX', stamp, sequence % C.MARKERS)
  if type(rung) == 'table' then -- as in `ring`
    call('DEL', key_markers(queue))
    call('ZADD', key_markers(queue), stamp, sequence % C.MARKERS)
  end
  call('ZADD', key_home('queued', queue), score, job_id)
  if #data <= C.CHUNK then
    call('HSET', key, F.status, 'queued', F.queue, queue, F.created, stamp, F.place, score, F.call .. '0', data)
  else
    local fields = {F.status, 'queued', F.queue, queue, F.created, stamp, F.place, score}
    local chunk = 0
    for first = 1, #data, C.CHUNK do
      fields[9 + 2 * chunk] = F.call .. chunk
      fields[10 + 2 * chunk] = string.sub(data, first, first + C.CHUNK - 1)
      chunk = chunk + 1
    end
    call('HSET', key, unpack(fields))
  end
  -- where none is muted; what is in the way of it is for `happened`, which writes the same
  if all_told and type(redis.pcall('XADD', key_events(queue), 'MAXLEN', '~', 'C.EVENTS_KEPT', '*', '1',
    'enqueue queued 1 0 -\n\n' .. job_id)) == 'string' then
    return {now, 'queued'}
  end
  --- @include happened
  happened('enqueue', queue, job_id, 'queued')
  return {now, 'queued'}
end
