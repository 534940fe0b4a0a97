--- @include entry
-- trace_of(at, stop): what became of a verdict whose token is not the current one.
-- An execution may also be on record because another worker judged it as abandoned: that is not what this one says,
-- so its outcome is 'stale', and nothing that follows from it (callbacks) may happen.
local function trace_of(at, stop)
  local mine = {nil, {unpack(ARGV, at + 10, stop - 1)}}
  for _, entry in ipairs(call('XREVRANGE', key_results(ARGV[at]), '+', '-')) do
    if entry_field(entry, E.execution) == ARGV[at + 2] then
      local same = entry_field(entry, E.type) == entry_field(mine, E.type)
        and entry_field(entry, E.reason) == entry_field(mine, E.reason)
      return same and 'already ' .. entry[1] or 'stale'
    end
  end
  return nil
end
