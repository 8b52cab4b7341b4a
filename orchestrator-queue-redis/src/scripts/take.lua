-- Takes hints whose time has come: workspaces in turn, by weight; in one by priority, then time.
-- KEYS: turn, later, round, count (all of one shard).
-- ARGV: base, max, most of a workspace, most to wake, most workspaces to look at, seconds to keep; then four lists, each with its
-- length in front: full workspaces; paused lanes; limited lanes with their room; workspaces with their weight.
-- Answers the milliseconds until the next time comes (-1: none waits), what the workspaces that are left weigh together, and the
-- hints: workspace, lane, job, score.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local turn, later, base, keep = KEYS[1], KEYS[2], ARGV[1], ARGV[6]
local left, of_each = tonumber(ARGV[2]), tonumber(ARGV[3])
local wake, look = tonumber(ARGV[4]), tonumber(ARGV[5])

local at = 7
local function list(width, each)
  local length = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, length do
    each(ARGV[at], ARGV[at + 1])
    at = at + width
  end
end
local full, room, weight = {}, {}, {}
list(1, function(workspace) full[workspace] = true end)
list(1, function(name) room[name] = 0 end)
list(2, function(name, much) room[name] = tonumber(much) end)
list(2, function(workspace, much) weight[workspace] = tonumber(much) end)

-- Whose time has come. A server that is full refuses to add: then they stay where they are.
local count = 0
local woken = redis.call('ZRANGEBYSCORE', later, '-inf', now * 10 + 9, 'WITHSCORES', 'LIMIT', 0, wake)
if #woken > 0 then
  local round, kept = redis.call('GET', KEYS[3]) or '0', {}
  for i = 1, #woken, 2 do
    local workspace, lane, job = string.match(woken[i], '^([^|]*)|([^|]*)|(.*)$')
    if workspace then
      local when, name = tonumber(woken[i + 1]), workspace .. '|' .. lane
      local priority = 9 - when % 10
      local score = (9 - priority) * 8796093022208 + math.floor(when / 10)
      local added = redis.pcall('ZADD', base .. 'due:' .. name, score, job)
      if type(added) == 'table' then break end
      count = count + added
      if not kept[name] then
        kept[name] = true
        redis.pcall('SADD', base .. 'lanes:' .. workspace, lane)
        redis.pcall('ZADD', turn, 'NX', round, workspace)
        redis.call('EXPIRE', base .. 'due:' .. name, keep)
        redis.call('EXPIRE', base .. 'lanes:' .. workspace, keep)
      end
    end
    redis.call('ZREM', later, woken[i])
  end
end

local taken, of, gone = {}, {}, 0

-- Takes up to `want` of a workspace. Answers how many, and whether it has none left at all.
local function give(workspace, want)
  local lanes, open, heads, given = base .. 'lanes:' .. workspace, {}, {}, 0
  for _, lane in ipairs(redis.call('SMEMBERS', lanes)) do
    local name = workspace .. '|' .. lane
    if room[name] == nil or room[name] > 0 then
      open[#open + 1] = { lane = lane, name = name, key = base .. 'due:' .. name, jobs = {} }
    end
  end
  for _, lane in ipairs(open) do
    local some = math.min(want, room[lane.name] or want)
    local found = redis.call('ZRANGE', lane.key, 0, some - 1, 'WITHSCORES')
    for i = 1, #found, 2 do
      heads[#heads + 1] = { lane = lane, job = found[i], score = found[i + 1], order = tonumber(found[i + 1]) }
    end
    if #found == 0 then
      redis.call('SREM', lanes, lane.lane)
    end
  end
  if #open > 1 then
    table.sort(heads, function(a, b)
      if a.order ~= b.order then return a.order < b.order end
      return a.job < b.job
    end)
  end
  for i = 1, math.min(want, #heads) do
    local head = heads[i]
    local jobs, lane = head.lane.jobs, head.lane
    jobs[#jobs + 1] = head.job
    taken[#taken + 1] = workspace
    taken[#taken + 1] = lane.lane
    taken[#taken + 1] = head.job
    taken[#taken + 1] = head.score
    given = given + 1
  end
  for _, lane in ipairs(open) do
    for first = 1, #lane.jobs, 1000 do
      redis.call('ZREM', lane.key, unpack(lane.jobs, first, math.min(first + 999, #lane.jobs)))
    end
    if room[lane.name] then
      room[lane.name] = room[lane.name] - #lane.jobs
    end
    if #lane.jobs > 0 and redis.call('EXISTS', lane.key) == 0 then
      redis.call('SREM', lanes, lane.lane)
    end
  end
  if redis.call('EXISTS', lanes) == 0 then
    redis.call('ZREM', turn, workspace)
    gone = gone + 1
    return given, true
  end
  return given, false
end

local rank, seen, served, passed = 0, 0, {}, {}
while left > 0 and seen < look do
  local page = redis.call('ZRANGE', turn, rank, rank + math.max(16, math.min(left, 128)) - 1)
  if #page == 0 then break end
  seen, gone = seen + #page, 0
  local some = {}
  for _, workspace in ipairs(page) do
    if full[workspace] then
      passed[#passed + 1] = workspace
    else
      some[#some + 1] = workspace
    end
  end
  while left > 0 and #some > 0 do
    local total, more = 0, {}
    for _, workspace in ipairs(some) do total = total + (weight[workspace] or 1) end
    local each = math.max(1, math.floor(left / total))
    for _, workspace in ipairs(some) do
      local want = math.min(each * (weight[workspace] or 1), left, of_each - (of[workspace] or 0))
      if want > 0 then
        local given, none = give(workspace, want)
        left, of[workspace] = left - given, (of[workspace] or 0) + given
        if given > 0 and not none then
          served[workspace] = true
        elseif given == 0 and not none then
          passed[#passed + 1] = workspace
        end
        if given == want and not none then
          more[#more + 1] = workspace
        end
      end
    end
    some = more
  end
  rank = rank + #page - gone
end

count = count - #taken / 4
if #taken > 0 or seen > 64 then
  local round = redis.pcall('INCR', KEYS[3])
  if type(round) ~= 'table' then
    for workspace in pairs(served) do redis.pcall('ZADD', turn, 'XX', round, workspace) end
    -- What has to be passed over does not stand in front of the others for ever.
    if seen > 64 then
      for _, workspace in ipairs(passed) do redis.pcall('ZADD', turn, 'XX', round, workspace) end
    end
    redis.call('EXPIRE', KEYS[3], keep)
  end
end
local workspaces = redis.call('ZCARD', turn)
if workspaces == 0 then
  redis.call('DEL', KEYS[4])
elseif count ~= 0 then
  redis.pcall('INCRBY', KEYS[4], count)
  redis.call('EXPIRE', KEYS[4], keep)
end
local first, wait = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES'), -1
if #first > 0 then
  wait = math.max(0, math.floor(tonumber(first[2]) / 10) - now)
end
if workspaces > 0 then
  for workspace, much in pairs(weight) do
    if redis.call('ZSCORE', turn, workspace) then workspaces = workspaces + much - 1 end
  end
end
table.insert(taken, 1, workspaces)
table.insert(taken, 1, wait)
return taken
