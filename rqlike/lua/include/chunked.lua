-- chunked(command, key, values): one command over any number of values; `unpack` of some thousand fails half-way.
local function chunked(command, key, values)
  for first = 1, #values, 500 do
    call(command, key, unpack(values, first, math.min(first + 499, #values)))
  end
end
