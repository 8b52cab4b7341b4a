-- Leases tokens of a limit: GCRA on the server's time, in microseconds since the beginning of 2026, which a double holds to a few
-- nanoseconds. KEYS: the limit. ARGV: period in microseconds, burst, wanted. Answers how many, and the microseconds until there is
-- one if there is none.
local t = redis.call('TIME')
local now = (t[1] - 1767225600) * 1000000 + t[2]
local period, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local whole = period * burst
-- Other numbers than before, or a clock that was set back, make nobody wait longer than a rested limit lasts.
local arrival = math.min(math.max(tonumber(redis.call('GET', KEYS[1])) or now, now), now + whole)
local there = whole - (arrival - now)
local tokens = math.min(math.floor(there / period + 0.000001), want)
if tokens <= 0 then
  return { 0, math.max(0, math.ceil(period - there)) }
end
arrival = arrival + period * tokens
redis.call('SET', KEYS[1], string.format('%.17g', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1000)
return { tokens, 0 }
