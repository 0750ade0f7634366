-- A worker's lease and status, in one step. The lease ends by the server's own clock.
-- KEYS: leases, workers.  ARGV: worker, status, lease in ms, news channel, table.
-- The table is no key: Redis takes what a script names as a key for something that it may write,
-- and the data plane's user may not write the table. All keys have one hash tag.
-- Returns the version that is published, as it stands there.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return redis.call('HMGET', ARGV[5], 'version')[1]
