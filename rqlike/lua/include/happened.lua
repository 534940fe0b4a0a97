-- happened(verb, queue, job_id, to, cycle, attempt, reason, worker, all_told): the event of a transition, in the stream of
-- its queue. The only place that writes one. The caller has made the transition, and nothing that goes wrong here may undo it.
-- to: nil where the job is gone; cycle: nil the first; attempt: nil none yet. One field, since each costs.
-- Whether they are told is asked, and the stream made shorter, once per call and queue. all_told: it is known already.
local streams = {} -- of the queues met in this call; false where nothing is told
local function happened(verb, queue, job_id, to, cycle, attempt, reason, worker, all_told)
  local stream, id = streams[queue], nil
  if stream == false then return end
  local text = verb .. ' ' .. (to or '-') .. ' ' .. (cycle or '1') .. ' ' .. (attempt or '0') .. ' ' .. (reason or '-')
    .. '\n' .. (worker or '') .. '\n' .. job_id
  if stream then
    id = redis.pcall('XADD', stream, '*', V.text, text)
  elseif not all_told and redis.pcall('SISMEMBER', key_muted(), queue) == 1 then
    streams[queue] = false
    return
  else
    stream = key_events(queue)
    streams[queue] = stream
    -- in quotes: see `stamp` in now.lua
    id = redis.pcall('XADD', stream, 'MAXLEN', '~', 'C.EVENTS_KEPT', '*', V.text, text)
  end
  if type(id) ~= 'table' then return end
  local why = tostring(id.err)
  if string.find(why, 'wrong kind of value', 1, true) or string.find(why, 'exhausted', 1, true) then
    call('DEL', stream) -- of another type, or with an entry that nothing can follow, so not ours
    redis.pcall('XADD', stream, '*', V.text, text)
  else
    streams[queue] = false
  end
end
