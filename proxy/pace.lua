-- How many connections a worker may close now, of what all workers together may.
-- A bucket holds the moment up to which closings are paid for (the generic cell rate algorithm):
-- each closing moves it on by 1/pace, and it may lie ahead of now by no more than the burst.
-- Without a key nothing is owed. A moment further ahead than this pace could have led to is from
-- a slower pace, or another clock, and counts for nothing.
-- KEYS: leases, then a bucket a drain.  ARGV: burst in µs, then closings a second and how many
-- are wanted, a drain.  Answers: workers with a lease, then how many are granted, a drain.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local burst = tonumber(ARGV[1])
local answer = {redis.call('ZCOUNT', KEYS[1], now / 1000, '+inf')}
for index = 2, #KEYS do
  local each = math.min(1000000 / tonumber(ARGV[2 * index - 2]), 86400000000)
  local wanted = tonumber(ARGV[2 * index - 1])
  local paid = tonumber(redis.call('GET', KEYS[index]) or now)
  if paid < now or paid > now + burst + each + 1 then
    paid = now
  end
  local granted = math.max(0, math.min(wanted, math.floor((now + burst - paid) / each) + 1))
  if granted > 0 then
    paid = paid + granted * each
    redis.call('SET', KEYS[index], string.format('%.3f', paid),
      'PX', math.ceil((paid - now) / 1000) + 1000)
  end
  answer[index] = granted
end
return answer
