// `tollgate key`: API keys. A token is printed by the command that makes it, once, and can't be had again.
import { gradeTypes } from '../domain/usage-event.ts'
import { keyTypes } from '../registry/port.ts'
import { UsageError, configOption, jsonOption, readDurationMs, readInstantMs, readInteger } from './arguments.ts'
import type { Arguments } from './arguments.ts'
import { commandGroup, commandOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import { keyTypeDefault } from './handlers/registry.ts'
import type { IssuedKey, KeyPage, KeyView } from './handlers/registry.ts'
import { idBounds, pageBounds, pageOptions } from './member.ts'
import { ask } from './program.ts'
import { tableText } from './table.ts'

const keyPositional = { name: 'KEY', description: 'The key\'s number.' }
const tokenOnly = { description: 'Print nothing but the token, for scripts.' }
const hint = 'tollgate key list shows all keys'

const createKey = commandOf({
  name: 'tollgate key create',
  summary: 'Creates an API key and prints its token. It is shown this once and kept nowhere.',
  options: {
    member: { value: 'ID', description: 'Whose key it is.', isRequired: true },
    grade: { value: 'GRADE', description: `How fast it may call: ${gradeTypes.join(', ')}.`, isRequired: true },
    type: { value: 'TYPE', description: `jwt: signed, so that others who have the secret can check it; opaque: short, and good only while the registry has it. ${keyTypeDefault} without it.` },
    label: { value: 'TEXT', description: 'A name for people.' },
    expires: { value: 'WHEN', description: 'A day (its beginning, UTC) or an instant such as 2027-01-31T12:00:00Z; never without it.' },
    id: { value: 'ID', description: 'The number to give; the next free one without it.' },
    'token-only': tokenOnly,
    json: jsonOption,
    config: configOption
  }
}, async (given, context) => {
  const grade = gradeTypes.find((known) => known === given.text('grade'))
  if (grade === undefined) throw new UsageError(`--grade must be one of ${gradeTypes.join(', ')}`, 'grades are configured under `grades`')
  const type = given.text('type')
  if (type !== undefined && !keyTypes.some((known) => known === type)) throw new UsageError(`--type must be one of ${keyTypes.join(', ')}`, 'docs/registry.md tells them apart')
  const expires = given.text('expires')
  const key = await ask<IssuedKey>(given, context, 'key.create', {
    memberId: given.integer('member', idBounds),
    grade,
    type,
    label: given.text('label'),
    apiKeyId: given.integer('id', idBounds),
    expiresAtMs: expires === undefined ? undefined : readInstantMs('--expires', expires, 'it is read as UTC unless it names a zone')
  })
  printIssued(key, given, context)
  return exitCodes.ok
})

const listKeys = commandOf({
  name: 'tollgate key list',
  summary: 'Lists keys by number, never their tokens.',
  options: { member: { value: 'ID', description: 'Only this member\'s keys.' }, ...pageOptions, json: jsonOption, config: configOption }
}, async (given, context) => {
  const page = await ask<KeyPage>(given, context, 'key.list', {
    memberId: given.integer('member', idBounds), afterId: given.integer('after', pageBounds.after), countMax: given.integer('limit', pageBounds.limit)
  })
  if (given.has('json')) printJson(context, page)
  else {
    const columns = [{ title: 'key', isRight: true }, { title: 'member', isRight: true }, { title: 'grade' }, { title: 'type' }, { title: 'state' }, { title: 'created' }, { title: 'expires' }, { title: 'label' }]
    context.io.out(tableText(columns, page.keys.map((key) => [String(key.apiKeyId), String(key.memberId), key.grade, key.type, key.state, key.createdAt, key.expiresAt ?? 'never', key.label])))
    if (page.nextAfter !== undefined) context.io.error(`there are more: --after ${page.nextAfter}\n`)
  }
  return exitCodes.ok
})

const showKey = commandOf({
  name: 'tollgate key show',
  summary: 'Shows one key, never its token.',
  positionals: [keyPositional],
  options: { json: jsonOption, config: configOption }
}, async (given, context) => {
  const key = await ask<KeyView>(given, context, 'key.show', { apiKeyId: keyOf(given) })
  if (given.has('json')) printJson(context, key)
  else printKey(key, context)
  return exitCodes.ok
})

const revokeKey = commandOf({
  name: 'tollgate key revoke',
  summary: 'Revokes a key for ever: every gateway refuses it within a second. Also for a key that another service signed.',
  positionals: [keyPositional],
  options: { json: jsonOption, config: configOption }
}, async (given, context) => {
  const revoked = await ask<{ readonly apiKeyId: number, readonly isKnown: boolean }>(given, context, 'key.revoke', { apiKeyId: keyOf(given) })
  if (given.has('json')) printJson(context, revoked)
  else context.io.out(`key ${revoked.apiKeyId} is revoked${revoked.isKnown ? '' : '; it is not in this registry, so check its number'}\n`)
  return exitCodes.ok
})

const rotateKey = commandOf({
  name: 'tollgate key rotate',
  summary: 'Makes a new token of the same type for a key and ends the old ones after an overlap. The new token is shown this once.',
  positionals: [keyPositional],
  options: {
    overlap: { value: 'DURATION', description: 'How long old tokens go on working, such as 15m or 7d; 24h without it, 0 for a token that got out.' },
    'token-only': tokenOnly,
    json: jsonOption,
    config: configOption
  }
}, async (given, context) => {
  const overlapMs = readDurationMs('--overlap', given.text('overlap') ?? '24h', hint)
  const key = await ask<IssuedKey>(given, context, 'key.rotate', { apiKeyId: keyOf(given), overlapMs })
  printIssued(key, given, context)
  return exitCodes.ok
})

export const keyCommand = commandGroup('tollgate key', 'API keys.', {
  create: { summary: 'creates a key and prints its token, this once', command: createKey },
  list: { summary: 'lists keys', command: listKeys },
  show: { summary: 'shows one key', command: showKey },
  revoke: { summary: 'ends a key for ever', command: revokeKey },
  rotate: { summary: 'makes a new token and ends the old ones after an overlap', command: rotateKey }
})

function keyOf (given: Arguments): number { return readInteger('KEY', given.positionals[0] ?? '', idBounds, hint) }

function printIssued (key: IssuedKey, given: Arguments, context: CommandContext): void {
  if (given.has('token-only')) context.io.out(`${key.token}\n`)
  else if (given.has('json')) printJson(context, key)
  else {
    printKey(key, context)
    context.io.out(`\nThe token, shown this once:\n${key.token}\n`)
  }
}

function printKey (key: KeyView, { io }: CommandContext): void {
  const rows = [
    ['key', String(key.apiKeyId)], ['member', String(key.memberId)], ['grade', key.grade], ['type', key.type], ['state', key.state], ['label', key.label],
    ['created', key.createdAt], ['expires', key.expiresAt ?? 'never'], ['revoked', key.revokedAt], ['rotated', key.rotatedAt], ['old tokens end', key.overlapUntil]
  ]
  for (const [title = '', value] of rows) if (value !== undefined && value !== '') io.out(`${title.padEnd(14)}  ${value}\n`)
}
