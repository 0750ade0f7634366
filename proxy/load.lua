-- The table as it is published, at one moment. KEYS: table, log.  ARGV: entries at most.
-- Returns {version, snapshot's version, body, mac, the log's entries since the snapshot}.
local version, at, body, mac = unpack(redis.call('HMGET', KEYS[1], 'version', 'at', 'body', 'mac'))
at = at or version
local tail = {}
if version ~= at and string.match(at, '^%d+$') then
    tail = redis.call('XRANGE', KEYS[2], '(' .. at .. '-0', '+', 'COUNT', ARGV[1])
end
return {version, at, body, mac, tail}
