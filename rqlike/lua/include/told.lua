--- @include dependents
--- @include summon
-- tell_now(): the first of those who wait for what this call has ended are told at once, also where no worker lives; a
-- worker goes on with the others, and with those that only it can bury.
local function tell_now()
  local left = false
  local more = tell_dependents(function()
    left = true
    return false
  end)
  if more or left then summon(now) end
end
