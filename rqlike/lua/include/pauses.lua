--- @include now
-- pauses_of(queues, broken, again): queue -> the moment at which nothing keeps workers from claiming from it any more, for
-- those that are paused; and the names under which they are, '' for all queues, or nil. A pause that is over is lifted
-- here, but not where the call is made `again`. The caller has seen that anything is paused at all.
local function pauses_of(queues, broken, again)
  local key, paused, names, records = key_pauses(), {}, {}, {}
  --- @include pause
  --- @include lift
  for first = 1, #queues, 500 do
    local last = math.min(first + 499, #queues)
    local fine, got = pcall(call, 'HMGET', key, '', unpack(queues, first, last))
    if not fine then -- of another type, so not ours: nothing is paused
      broken(nil, '', got)
      return paused
    end
    records[''] = got[1]
    for at = first, last do records[queues[at]] = got[at - first + 2] end
  end

  local function still(queue)
    if not records[queue] then return nil end
    local till = read_pause(records[queue])
    if till then
      names[#names + 1] = queue
    elseif not again then
      lift(queue)
    end
    return till
  end

  local everywhere = still('')
  for _, queue in ipairs(queues) do
    local own = still(queue)
    if own or everywhere then paused[queue] = math.max(own or 0, everywhere or 0) end
  end
  return paused, names[1] and names
end
