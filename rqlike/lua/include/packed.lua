-- packed(reply): a deep reply as one msgpack string, which a client reads twenty times faster than nested arrays.
-- Where a server has no cmsgpack (fakeredis) the reply goes as it is.
local function packed(reply)
  return cmsgpack and cmsgpack.pack(reply) or reply
end
