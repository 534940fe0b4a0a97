-- The value of a field in a flat list of them.
local function get(flat, field)
  for at = 1, #flat, 2 do
    if flat[at] == field then return flat[at + 1] end
  end
  return nil
end
