--- @include now
-- The order of a queue: band times width plus a sequence that never repeats; in the front band it counts down.
-- Where the counter is none any more it goes on from the clock, which is beyond any count that was.
local function next_sequence(count)
  local last = redis.pcall('INCRBY', key_sequence(), count)
  if type(last) ~= 'number' then
    last = now + count
    call('SET', key_sequence(), string.format('%.0f', last))
  end
  return last - count
end

local function place(band, sequence)
  if band == C.FRONT_BAND then
    return string.format('%.0f', C.BAND_WIDTH - 1 - sequence)
  end
  return string.format('%.0f', band * C.BAND_WIDTH + sequence)
end
