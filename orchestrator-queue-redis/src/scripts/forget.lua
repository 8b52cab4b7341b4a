-- Forgets what is due of a workspace. KEYS: turn, count (of its shard). ARGV: base, workspace. Answers how many hints it were.
local lanes, count = ARGV[1] .. 'lanes:' .. ARGV[2], 0
for _, lane in ipairs(redis.call('SMEMBERS', lanes)) do
  local due = ARGV[1] .. 'due:' .. ARGV[2] .. '|' .. lane
  count = count + redis.call('ZCARD', due)
  redis.call('UNLINK', due)
end
redis.call('UNLINK', lanes)
redis.call('ZREM', KEYS[1], ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
else
  redis.call('DECRBY', KEYS[2], count)
end
return count
