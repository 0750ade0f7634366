-- A worker that ends: its lease is over now, and its last status says so to those who missed the news.
-- Who reads the registry takes it off after a while (snapshot.lua).
-- KEYS: leases, workers.  ARGV: worker, last status, news channel.
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[2])
return 1
