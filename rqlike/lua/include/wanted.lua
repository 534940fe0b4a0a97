-- no_earlier(moment, wanted): an ended job's moment of expiry, put off to the one until which a waiter has said it will
-- look. What is no moment, or one that no clock reaches, was not written by rqlike.
local function no_earlier(moment, wanted)
  wanted = tonumber(wanted)
  if moment == '+inf' or not (wanted and wanted < 1e14) or wanted <= tonumber(moment) then return moment end
  return string.format('%.0f', wanted)
end
