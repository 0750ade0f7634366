-- How many connections a worker may close now, of what all workers together may.
-- A bucket holds the moment up to which closings are paid for (the generic cell rate algorithm):
-- each closing moves it on by 1/pace, and it may lie ahead of now by no more than the burst.
-- Without a key nothing is owed. A moment further ahead than this pace could have led to is from
-- a slower pace, or another clock, and counts for nothing.
-- KEYS: leases, then the drain's bucket and the tenant's, a want.  ARGV: burst in µs, then closings
-- a second, those of the tenant (0: no bucket of its own) and how many are wanted, a want.
-- Answers: workers with a lease, then how many are granted, a want.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local burst = tonumber(ARGV[1])

local function opened(key, per_second)
  local each = math.min(1000000 / per_second, 86400000000)
  local paid = tonumber(redis.call('GET', key) or now)
  if paid < now or paid > now + burst + each + 1 then
    paid = now
  end
  return {key = key, each = each, paid = paid}
end

local function room(bucket)
  return math.max(0, math.floor((now + burst - bucket.paid) / bucket.each) + 1)
end

local function pay(bucket, count)
  local paid = bucket.paid + count * bucket.each
  redis.call('SET', bucket.key, string.format('%.3f', paid),
    'PX', math.ceil((paid - now) / 1000) + 1000)
end

local answer = {redis.call('ZCOUNT', KEYS[1], now / 1000, '+inf')}
for index = 1, (#KEYS - 1) / 2 do
  local of_one = tonumber(ARGV[3 * index])
  local buckets = {opened(KEYS[2 * index], tonumber(ARGV[3 * index - 1]))}
  if of_one > 0 then
    buckets[2] = opened(KEYS[2 * index + 1], of_one)
  end
  local granted = tonumber(ARGV[3 * index + 1])
  for _, bucket in ipairs(buckets) do
    granted = math.min(granted, room(bucket))
  end
  if granted > 0 then
    for _, bucket in ipairs(buckets) do
      pay(bucket, granted)
    end
  end
  answer[index + 1] = granted
end
return answer
