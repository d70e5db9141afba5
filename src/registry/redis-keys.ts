// Where the registry is in Redis. All names share one hash tag, so that every change can be one step also in a Redis cluster.
//
//   {registry}:epoch            a random UUID, made with the first change: tells this registry from one that was emptied or replaced
//   {registry}:version          counts changes
//   {registry}:changes          sorted set: `m<member>` or `k<key>` by the version of its last change; one entry each, for ever
//   {registry}:changed          channel: the version of a change
//   {registry}:member:<id>      hash, a redis-om entity
//   {registry}:key:<id>         hash, a redis-om entity
//   {registry}:members, :keys   sorted sets of all numbers
//   {registry}:member-keys:<id> sorted set: the numbers of a member's keys
//   {registry}:member-id, :key-id   the highest numbers ever given away
//   {registry}:revoked:<id>     milliseconds; also for keys that aren't here, and for ever
//   {registry}:rotations:<id>   JSON: [[issuedFromS, overlapUntilMs], ...]; the same

/** What stands before each of the names above, up to the colon. */
export function registryBase (keyPrefix: string): string { return `${keyPrefix}{registry}:` }

/** One member or key in the log of changes. */
export type ChangeName = `m${number}` | `k${number}`

// Each script gets the base as its only key; what it makes of it lies in the same slot. ARGV[1] is the epoch, should there
// be none. Before it changes anything each looks at the types of what it will change: a script that fails halfway would
// leave half a change behind. A channel that the user may not publish to is no reason to fail: gateways look by themselves.
const prelude = `
local base = KEYS[1]
local function foreign (name, kind)
  local found = redis.call('TYPE', base .. name).ok
  if found == 'none' or (found == kind) then return nil end
  if kind == 'number' and found == 'string' and string.match(redis.call('GET', base .. name), '^%d+$') then return nil end
  return base .. name
end
local function anyForeign (names)
  for name, kind in pairs(names) do
    local key = foreign(name, kind)
    if key then return key end
  end
  return foreign('epoch', 'string') or foreign('version', 'number') or foreign('changes', 'zset')
end
local function get (name) return redis.call('GET', base .. name) end
local function changed (name)
  redis.call('SET', base .. 'epoch', ARGV[1], 'NX')
  local version = redis.call('INCR', base .. 'version')
  redis.call('ZADD', base .. 'changes', version, name)
  redis.pcall('PUBLISH', base .. 'changed', string.format('%.0f', version))
end
local function put (name, from)
  redis.call('DEL', base .. name)
  for index = from, #ARGV, 2 do redis.call('HSET', base .. name, ARGV[index], ARGV[index + 1]) end
end
-- Numbers are compared as numbers and kept as text: Lua would write large ones with an exponent.
local function raise (name, id)
  if tonumber(get(name) or '0') < tonumber(id) then redis.call('SET', base .. name, id) end
end
local idMax = 9007199254740991
local function nextId (name)
  if tonumber(get(name) or '0') >= idMax then return nil end
  return string.format('%.0f', redis.call('INCR', base .. name))
end
`

/** ARGV: epoch, wanted number or '', how many members there may be, then the entity. */
export const createMemberScript = prelude + `
local wanted = ARGV[2]
local key = anyForeign({ ['members'] = 'zset', ['member-id'] = 'number', ['member:' .. wanted] = 'hash' })
if key then return {'REGISTRY_FOREIGN', key} end
if wanted ~= '' and redis.call('EXISTS', base .. 'member:' .. wanted) == 1 then return {'MEMBER_EXISTS'} end
if redis.call('ZCARD', base .. 'members') >= tonumber(ARGV[3]) then return {'LIMIT_EXCEEDED'} end
local id = wanted
if id == '' then
  repeat
    id = nextId('member-id')
    if not id then return {'LIMIT_EXCEEDED'} end
  until redis.call('EXISTS', base .. 'member:' .. id) == 0
else
  raise('member-id', id)
end
put('member:' .. id, 4)
redis.call('ZADD', base .. 'members', id, id)
changed('m' .. id)
return {'OK', id}
`

/** ARGV: epoch, member, wanted number or '', how many keys there may be, '1' where a revoked number may be taken, then the entity. */
export const createKeyScript = prelude + `
local member, wanted = ARGV[2], ARGV[3]
local key = anyForeign({ ['keys'] = 'zset', ['key-id'] = 'number', ['member:' .. member] = 'hash', ['member-keys:' .. member] = 'zset', ['key:' .. wanted] = 'hash' })
if key then return {'REGISTRY_FOREIGN', key} end
if redis.call('EXISTS', base .. 'member:' .. member) == 0 then return {'MEMBER_UNKNOWN'} end
if wanted ~= '' and redis.call('EXISTS', base .. 'key:' .. wanted) == 1 then return {'KEY_EXISTS'} end
if wanted ~= '' and ARGV[5] ~= '1' and redis.call('EXISTS', base .. 'revoked:' .. wanted) == 1 then return {'KEY_REVOKED'} end
if redis.call('ZCARD', base .. 'keys') >= tonumber(ARGV[4]) then return {'LIMIT_EXCEEDED'} end
local id = wanted
if id == '' then
  repeat
    id = nextId('key-id')
    if not id then return {'LIMIT_EXCEEDED'} end
  until redis.call('EXISTS', base .. 'key:' .. id, base .. 'revoked:' .. id) == 0
else
  raise('key-id', id)
end
put('key:' .. id, 6)
redis.call('ZADD', base .. 'keys', id, id)
redis.call('ZADD', base .. 'member-keys:' .. member, id, id)
changed('k' .. id)
return {'OK', id}
`

/** ARGV: epoch, then key and time, key and time … Answers how many weren't revoked. */
export const revokeScript = prelude + `
local names = {}
for index = 2, #ARGV, 2 do names['revoked:' .. ARGV[index]] = 'string' end
local key = anyForeign(names)
if key then return {'REGISTRY_FOREIGN', key} end
local count = 0
for index = 2, #ARGV, 2 do
  if redis.call('SET', base .. 'revoked:' .. ARGV[index], ARGV[index + 1], 'NX') then
    changed('k' .. ARGV[index])
    count = count + 1
  end
end
return {'OK', tostring(count)}
`

/**
 * ARGV: epoch, key, the rotations that were read ('' for none), the new ones, '1' where a revoked key is refused, the secrets that were
 * read ('' for none), the new ones. `secrets` is a text in redis-om's hash too, so it may be put there by itself.
 */
export const rotateScript = prelude + `
local key = anyForeign({ ['rotations:' .. ARGV[2]] = 'string', ['key:' .. ARGV[2]] = 'hash' })
if key then return {'REGISTRY_FOREIGN', key} end
if ARGV[5] == '1' and redis.call('EXISTS', base .. 'revoked:' .. ARGV[2]) == 1 then return {'KEY_REVOKED'} end
if (get('rotations:' .. ARGV[2]) or '') ~= ARGV[3] then return {'AGAIN'} end
if (redis.call('HGET', base .. 'key:' .. ARGV[2], 'secrets') or '') ~= ARGV[6] then return {'AGAIN'} end
if ARGV[4] ~= ARGV[3] then redis.call('SET', base .. 'rotations:' .. ARGV[2], ARGV[4]) end
if ARGV[7] ~= ARGV[6] then redis.call('HSET', base .. 'key:' .. ARGV[2], 'secrets', ARGV[7]) end
changed('k' .. ARGV[2])
return {'OK', ''}
`

/** ARGV: epoch, the highest member and key numbers that were given away. */
export const raiseScript = prelude + `
local key = anyForeign({ ['member-id'] = 'number', ['key-id'] = 'number' })
if key then return {'REGISTRY_FOREIGN', key} end
local isNew = tonumber(get('member-id') or '0') < tonumber(ARGV[2]) or tonumber(get('key-id') or '0') < tonumber(ARGV[3])
if isNew then
  raise('member-id', ARGV[2])
  raise('key-id', ARGV[3])
  redis.call('SET', base .. 'epoch', ARGV[1], 'NX')
end
return {'OK', isNew and '1' or '0'}
`

/** Answers epoch, version, and the highest member and key numbers given away. ARGV: none. */
export const positionScript = `
local base = KEYS[1]
local answers = {'OK'}
for _, name in ipairs({'epoch', 'version', 'member-id', 'key-id'}) do
  local value = redis.pcall('GET', base .. name)
  if type(value) == 'table' then return {'REGISTRY_FOREIGN', base .. name} end
  table.insert(answers, value)
end
return answers
`

/**
 * ARGV: names of changes. Answers for each, as of one instant: the entity as field, value, field …, when it was revoked, its
 * rotations; or the key that holds something else.
 */
export const readScript = `
local base = KEYS[1]
local answers = {}
for _, name in ipairs(ARGV) do
  local kind, id = string.sub(name, 1, 1), string.sub(name, 2)
  local entity = (kind == 'm' and 'member:' or 'key:') .. id
  local fields = redis.pcall('HGETALL', base .. entity)
  local revoked, rotations = false, false
  if kind == 'k' then revoked, rotations = redis.pcall('GET', base .. 'revoked:' .. id), redis.pcall('GET', base .. 'rotations:' .. id) end
  local wrong = (fields.err and entity) or (type(revoked) == 'table' and 'revoked:' .. id) or (type(rotations) == 'table' and 'rotations:' .. id)
  if wrong then table.insert(answers, {base .. wrong}) else table.insert(answers, {'', fields, revoked, rotations}) end
end
return answers
`
