-- The table as it is published, at one moment. KEYS: leases.  ARGV: table, log, entries at most.
-- Table and log are no keys, as in renew.lua: the data plane's user may only read them. The key that
-- is named is not looked at: it tells a cluster's node that it is asked for ours.
-- Returns {version, snapshot's version, body, mac, the log's entries since the snapshot}.
local version, at, body, mac = unpack(redis.call('HMGET', ARGV[1], 'version', 'at', 'body', 'mac'))
at = at or version
local tail = {}
if version ~= at and string.match(at, '^%d+$') then
    tail = redis.call('XRANGE', ARGV[2], '(' .. at .. '-0', '+', 'COUNT', ARGV[3])
end
return {version, at, body, mac, tail}
