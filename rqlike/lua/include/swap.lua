-- swap(key, value, …): SET with its options, and what was there. Where that is of another type it is not ours, and is
-- overwritten: the key holds a note of a moment.
local function swap(key, value, ...)
  local was = redis.pcall('SET', key, value, 'GET', ...)
  if type(was) ~= 'table' then return was end
  call('SET', key, value, ...)
  return nil
end
