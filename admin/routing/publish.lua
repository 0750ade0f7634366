-- Publish by compare-and-set. KEYS: table, log, leases, workers.
-- ARGV: the version that the table must be at ('any': whatever lies below; 'reset': whatever is
-- there, which can't be believed and is taken away), the new version, the
-- table's body and mac, entries to keep, ms after which a worker is forgotten, and then version,
-- body and mac of each log entry. Entries end at the new version.
-- Returns {word, version of the table, of the log, fleet}. The fleet is that of the moment of
-- publication: who registers later loads the new table, so nobody is missed.
local version, last = standing(KEYS[1], KEYS[2])
local target = tonumber(ARGV[2])
local word
if ARGV[1] == 'reset' then
    redis.call('DEL', KEYS[2])
elseif ARGV[1] == 'any' then
    if version >= target or last >= target then word = 'ahead' end
elseif version >= target then
    word = 'ahead'
elseif version ~= tonumber(ARGV[1]) or last ~= version then
    word = 'behind'
end
if not word then
    for i = 7, #ARGV, 3 do
        redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], ARGV[i] .. '-0',
                   'body', ARGV[i + 1], 'mac', ARGV[i + 2])
    end
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'version', ARGV[2], 'body', ARGV[3], 'mac', ARGV[4])
    word, version, last = 'published', target, target
end
return {word, version, last, fleet(KEYS[3], KEYS[4], ARGV[6])}
