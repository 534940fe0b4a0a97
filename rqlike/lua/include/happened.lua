-- happened(verb, queue, job_id, to, cycle, attempt, reason, worker): the event of a transition, for the stream of its
-- queue. The caller has made the transition, and nothing that goes wrong here may undo it.
-- to: nil where the job is gone; cycle: nil the first; attempt: nil none yet. One field, since each costs.
-- A script that makes many of them says that they are told `together`, and calls `tell_all` before it answers: up to
-- eight are one entry of the stream then, which costs little more than one. Elsewhere each is told at once.
-- Whether they are told is asked, and the stream made shorter, once per call and queue.
local NUMBERS = {'1', '2', '3', '4', '5', '6', '7', '8'} -- the fields of an entry, one event each
local unheard, together = {}, false -- {queue = {number, text, …}}
local all_told = false -- whether it is known that no queue is muted
local streams = {} -- of the queues met in this call; false where nothing is told

local function tell_all()
  for queue, fields in pairs(unheard) do
    local stream, known = streams[queue], true
    if stream == nil then
      stream, known = key_events(queue), false
      if not all_told and redis.pcall('SISMEMBER', key_muted(), queue) == 1 then stream = false end
      streams[queue] = stream
    end
    for first = 1, stream and #fields or 0, 16 do
      local last, id = math.min(#fields, first + 15), nil
      if known then
        id = redis.pcall('XADD', stream, '*', unpack(fields, first, last))
      else
        -- in quotes: see `stamp` in now.lua
        id = redis.pcall('XADD', stream, 'MAXLEN', '~', 'C.EVENTS_KEPT', '*', unpack(fields, first, last))
        known = true
      end
      if type(id) == 'table' then
        local why = tostring(id.err)
        if not (string.find(why, 'wrong kind of value', 1, true) or string.find(why, 'exhausted', 1, true)) then
          streams[queue] = false
          break
        end
        call('DEL', stream) -- of another type, or with an entry that nothing can follow, so not ours
        redis.pcall('XADD', stream, '*', unpack(fields, first, last))
      end
    end
  end
  unheard = {}
end

local function happened(verb, queue, job_id, to, cycle, attempt, reason, worker)
  local text = verb .. ' ' .. (to or '-') .. ' ' .. (cycle or '1') .. ' ' .. (attempt or '0') .. ' ' .. (reason or '-')
    .. '\n' .. (worker or '') .. '\n' .. job_id
  local fields = unheard[queue]
  if fields then
    fields[#fields + 1], fields[#fields + 2] = NUMBERS[#fields / 2 % 8 + 1], text
  else
    unheard[queue] = {'1', text}
  end
  if not together then tell_all() end
end
