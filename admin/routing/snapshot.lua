-- Shared by the scripts: where table and log stand, and who holds a lease, at one moment.

-- The table's version and the log's last one; -1 for what isn't there or is no number. Then the
-- commit that made the table, '' if that isn't told, and the version of the snapshot.
local function standing(table_key, log_key)
    local version = tonumber(redis.call('HGET', table_key, 'version') or -1) or -1
    local at = tonumber(redis.call('HGET', table_key, 'at') or version) or -1
    local last = redis.call('XREVRANGE', log_key, '+', '-', 'COUNT', 1)[1]
    local commit = redis.call('HGET', table_key, 'commit') or ''
    return version, tonumber(last and string.match(last[1], '^%d+') or -1) or -1, commit, at
end

-- {worker, ms left of its lease, status, worker, …}; who is long gone is taken off first.
local function fleet(leases_key, workers_key, forget_ms)
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    local horizon = string.format('(%d', now - tonumber(forget_ms))
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', leases_key, '-inf', horizon)) do
        redis.call('ZREM', leases_key, worker)
        redis.call('HDEL', workers_key, worker)
    end
    local found = {}
    local leases = redis.call('ZRANGE', leases_key, 0, -1, 'WITHSCORES')
    for i = 1, #leases, 2 do
        found[#found + 1] = leases[i]
        found[#found + 1] = math.floor(tonumber(leases[i + 1])) - now
        found[#found + 1] = redis.call('HGET', workers_key, leases[i]) or ''
    end
    return found
end
