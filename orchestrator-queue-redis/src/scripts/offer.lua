-- Makes hints takeable from their time. Offered again, the later offer counts.
-- KEYS: turn, later, round, count (all of one shard).
-- ARGV: base, channel, most of a lane, most of later, seconds to keep; then of each hint: workspace, lane, job, priority, time.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local base, channel, keep = ARGV[1], ARGV[2], ARGV[5]
local lane_most, later_most = tonumber(ARGV[3]), tonumber(ARGV[4])
local round = redis.call('GET', KEYS[3]) or '0'
local count, wake, kept = 0, false, {}
for i = 6, #ARGV, 5 do
  local workspace, lane, job = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local priority, at = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local name = workspace .. '|' .. lane
  local due, later = base .. 'due:' .. name, name .. '|' .. job
  if at <= now then
    local score = (9 - priority) * 8796093022208 + at
    local added
    if redis.call('ZCARD', due) < lane_most then
      added = redis.call('ZADD', due, score, job)
    else
      added = redis.call('ZADD', due, 'XX', score, job)
    end
    redis.call('ZREM', KEYS[2], later)
    if added == 1 then
      count = count + 1
      if not kept[name] then
        kept[name] = true
        local lanes = base .. 'lanes:' .. workspace
        redis.call('SADD', lanes, lane)
        redis.call('ZADD', KEYS[1], 'NX', round, workspace)
        redis.call('EXPIRE', due, keep)
        redis.call('EXPIRE', lanes, keep)
      end
    end
  else
    count = count - redis.call('ZREM', due, job)
    local score = at * 10 + 9 - priority
    local added
    if redis.call('ZCARD', KEYS[2]) < later_most then
      added = redis.call('ZADD', KEYS[2], score, later)
    else
      added = redis.call('ZADD', KEYS[2], 'XX', score, later)
    end
    wake = wake or added == 1
  end
end
if count ~= 0 then
  redis.call('INCRBY', KEYS[4], count)
end
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, keep)
end
-- What was there before wakes nobody: whoever offers everything again does not disturb.
if count > 0 or wake then
  redis.call('PUBLISH', channel, '')
end
return count
