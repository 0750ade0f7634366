-- Where the keys of one request belong, and bind those that belong nowhere yet, in one step.
-- KEYS: in the order in which they decide.
-- ARGV: the slot to bind to, and the table's version; since which version affinities to blue and
-- to green count; the slot that is dead, or ''; then of each key its life in ms and its mode:
-- 's' see, 'b' bind if it is unknown, 'w' write, 'd' delete.
-- Returns the slot that decides, how many keys were bound now that belonged nowhere, and of each key
-- `slot|version`, or ''.
local since = {blue = tonumber(ARGV[3]), green = tonumber(ARGV[4])}
local values = redis.call('MGET', unpack(KEYS))
local decided = nil

local function counts(value)
  if not value then return nil end
  local slot, version = string.match(value, '^(%a+)|(%d+)$')
  if slot and since[slot] and tonumber(version) >= since[slot] then return slot end
  return nil
end

for i = 1, #KEYS do
  local slot, mode = counts(values[i]), ARGV[5 + 2 * i]
  if slot and slot ~= ARGV[5] and (mode == 's' or mode == 'b') and not decided then decided = slot end
end
decided = decided or ARGV[1]

local answer, bound = {decided, 0}, 0
for i = 1, #KEYS do
  local life, mode = ARGV[4 + 2 * i], ARGV[5 + 2 * i]
  local slot = counts(values[i])
  local own = values[i] or ''
  if mode == 'd' then
    redis.call('DEL', KEYS[i])
    own = ''
  elseif mode == 'w' or (slot and slot == ARGV[5]) or (mode == 'b' and not slot) then
    own = decided .. '|' .. ARGV[2]
    redis.call('SET', KEYS[i], own, 'PX', life)
    if mode == 'b' and not slot then bound = bound + 1 end
  elseif slot then
    redis.call('PEXPIRE', KEYS[i], life)
  else
    own = ''
  end
  answer[i + 2] = own
end
answer[2] = bound
return answer
