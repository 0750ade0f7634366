-- A worker that ends takes its lease and status away and says so.
-- KEYS: leases, workers.  ARGV: worker, last status, news channel.
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[2])
return 1
