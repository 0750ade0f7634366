-- A worker tells who is connected for long. See proxy/routing/census.py for the hash.
-- KEYS: the worker's census.
-- ARGV: ms that it is kept, 1 to begin anew (0: go on), 1 if all is told with this (0: not yet),
-- how many seats are taken; then of each its field, its connections and for how long, in ms; then
-- the fields of those that are free.
-- Answers 1; 0, with nothing done, if what this would go on with is gone.
local key, keep, count = KEYS[1], ARGV[1], tonumber(ARGV[4])
if ARGV[2] == '1' then
  redis.call('DEL', key)
elseif redis.call('PEXPIRE', key, keep) == 0 then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', key, 'whole', ARGV[3])
for index = 5, 2 + 3 * count, 3 do
  local since = string.format('%.0f', now - tonumber(ARGV[index + 2]))
  redis.call('HSET', key, ARGV[index], ARGV[index + 1] .. ' ' .. since)
end
for index = 5 + 3 * count, #ARGV do
  redis.call('HDEL', key, ARGV[index])
end
redis.call('PEXPIRE', key, keep)
return 1
