-- Adds to a minute's figures. KEYS: its hash. ARGV: how many tenants it names at most, how long it
-- is kept (ms), the name of the others, then tenant and requests in turn. The hash is bounded: whom
-- it has no room for is counted among the others.
local room = tonumber(ARGV[1]) - redis.call('HLEN', KEYS[1])
for at = 4, #ARGV, 2 do
    local name, count = ARGV[at], ARGV[at + 1]
    if name ~= ARGV[3] and redis.call('HEXISTS', KEYS[1], name) == 0 then
        if room > 0 then
            room = room - 1
        else
            name = ARGV[3]
        end
    end
    redis.call('HINCRBY', KEYS[1], name, count)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
