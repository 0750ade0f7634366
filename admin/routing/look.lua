-- Read everything. KEYS: table, log, leases, workers. ARGV: ms after which a worker is forgotten.
-- Returns {version of the table, of the log, commit, of the snapshot, fleet}.
local version, last, commit, at = standing(KEYS[1], KEYS[2])
return {version, last, commit, at, fleet(KEYS[3], KEYS[4], ARGV[1])}
