--- @include now
-- ring(queue, first, count): one wake-up marker per job up to 64; a marker carries no job. One that is there already
-- stays as it is: to put it elsewhere in a set of 64 costs more than all else that a plain job does to the server.
local function ring(queue, first, count)
  local markers = {}
  for sequence = first, first + math.min(count, C.MARKERS) - 1 do
    markers[#markers + 1] = stamp
    markers[#markers + 1] = sequence % C.MARKERS
  end
  local answer = redis.pcall('ZADD', key_markers(queue), 'NX', unpack(markers))
  if type(answer) == 'table' then -- of another type, so not ours; and who claims the last job takes the key away anyway
    call('DEL', key_markers(queue))
    call('ZADD', key_markers(queue), unpack(markers))
  end
end
