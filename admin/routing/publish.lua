-- Publish by compare-and-set. KEYS: table, log, leases, workers.
-- ARGV: the version that the table must be at ('any': whatever lies below; 'reset': whatever is
-- there, which can't be believed and is taken away), the new version, the
-- table's body and mac (empty: the snapshot stays, and the log leads on from it), entries to keep,
-- entries that may follow a snapshot, ms after which a worker is forgotten, the commit that made the
-- table, the commit that the table there must be of (if both are known), and then version,
-- body and mac of each log entry. Entries end at the new version.
-- Returns {word, version of the table, of the log, commit, of the snapshot, fleet}. 'whole': only
-- with the table's body. The fleet is that of the moment of publication: who registers later loads
-- what is published, so nobody is missed.
local version, last, commit, at = standing(KEYS[1], KEYS[2])
local target = tonumber(ARGV[2])
local word
if ARGV[1] == 'reset' then
    redis.call('DEL', KEYS[2])
elseif ARGV[1] == 'any' then
    if version >= target or last >= target then word = 'ahead' end
elseif version >= target then
    word = 'ahead'
elseif version ~= tonumber(ARGV[1]) or last ~= version
        or (ARGV[9] ~= '' and commit ~= '' and commit ~= ARGV[9]) then
    word = 'behind'
elseif ARGV[3] == '' and (at < 0 or at > version or target - at > tonumber(ARGV[6])) then
    word = 'whole'
end
if not word then
    for i = 10, #ARGV, 3 do
        redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], ARGV[i] .. '-0',
                   'body', ARGV[i + 1], 'mac', ARGV[i + 2])
    end
    if ARGV[3] ~= '' then
        redis.call('DEL', KEYS[1])
        redis.call('HSET', KEYS[1], 'body', ARGV[3], 'mac', ARGV[4])
        at = target
    end
    redis.call('HSET', KEYS[1], 'version', ARGV[2], 'commit', ARGV[8], 'at', at)
    word, version, last, commit = 'published', target, target, ARGV[8]
end
return {word, version, last, commit, at, fleet(KEYS[3], KEYS[4], ARGV[7])}
