--- @include chunked
-- ring(queue, first, count): one wake-up marker per job up to 64; a marker carries no job.
local function ring(queue, first, count)
  local markers = {}
  for sequence = first, first + math.min(count, C.MARKERS) - 1 do
    markers[#markers + 1] = sequence
    markers[#markers + 1] = sequence % C.MARKERS
  end
  local answer = redis.pcall('ZADD', key_markers(queue), unpack(markers))
  if type(answer) == 'table' then -- of another type, so not ours; and who claims the last job takes the key away anyway
    call('DEL', key_markers(queue))
    call('ZADD', key_markers(queue), unpack(markers))
  end
end
