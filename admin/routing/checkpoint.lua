-- Write a snapshot of the table that is published, so that the log need not lead on to it.
-- KEYS: table.  ARGV: its version, body and mac, the commit that made it.
-- Returns whether it was: not if another version is published meanwhile.
local version, commit = unpack(redis.call('HMGET', KEYS[1], 'version', 'commit'))
if version ~= ARGV[1] or commit ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'body', ARGV[2], 'mac', ARGV[3])
return 1
