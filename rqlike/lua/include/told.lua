--- @include dependents
--- @include summon
-- tell_now(): the first of those who wait for what this call has ended are told at once, also where no worker lives; a
-- worker goes on with the others.
local function tell_now()
  -- what cannot be worked with is found, and told of, by the next worker that comes to it
  if tell_dependents(function() end) then summon(now) end
end
