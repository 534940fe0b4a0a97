-- The order of a queue: band times width plus a sequence that never repeats; in the front band it counts down.
local function next_sequence(count)
  return call('INCRBY', key_sequence(), count) - count
end

local function place(band, sequence)
  if band == C.FRONT_BAND then
    return string.format('%.0f', C.BAND_WIDTH - 1 - sequence)
  end
  return string.format('%.0f', band * C.BAND_WIDTH + sequence)
end
