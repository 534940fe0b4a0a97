-- spent(): whether this call has worked long enough, so that the rest is left to the next one. A script that goes through
-- hundreds of jobs asks now and then: how long each takes depends on its size and on the machine. Not all servers give
-- scripts the processor's clock; there it is the wall clock, which stands still in the scripts of some.
local has_processor_clock = pcall(function() return os.clock() end)
local function seconds()
  if has_processor_clock then return os.clock() end
  local clock = call('TIME')
  return clock[1] % 1000000 + clock[2] / 1000000
end
local begun = seconds()
local function spent()
  local taken = seconds() - begun
  return taken < 0 or taken > C.SCRIPT_S
end
