// `tollgate member`: members, and the tokens with which they read their own charges.
import { configOption, jsonOption, readDurationMs, readInteger } from './arguments.ts'
import { commandGroup, commandOf, exitCodes, printJson } from './command.ts'
import type { MemberPage, MemberToken, MemberView } from './handlers/registry.ts'
import { ask } from './program.ts'
import { tableText } from './table.ts'

export const idBounds = { min: 1, max: Number.MAX_SAFE_INTEGER }
/** The options of every list. */
export const pageOptions = {
  after: { value: 'ID', description: 'Only what comes after this number.' },
  limit: { value: 'N', description: 'At most so many; 1000 at a time is the most.' }
}
export const pageBounds = { after: { min: 0, max: Number.MAX_SAFE_INTEGER }, limit: { min: 1, max: 1_000 } }

const createMember = commandOf({
  name: 'tollgate member create',
  summary: 'Creates a member and prints its number.',
  options: {
    name: { value: 'TEXT', description: 'Whose keys they will be.', isRequired: true },
    id: { value: 'ID', description: 'The number to give; the next free one without it.' },
    json: jsonOption,
    config: configOption
  }
}, async (given, context) => {
  const member = await ask<MemberView>(given, context, 'member.create', { name: given.text('name'), memberId: given.integer('id', idBounds) })
  if (given.has('json')) printJson(context, member)
  else context.io.out(`member ${member.memberId}: ${member.name}\n`)
  return exitCodes.ok
})

const listMembers = commandOf({
  name: 'tollgate member list',
  summary: 'Lists members by number.',
  options: { ...pageOptions, json: jsonOption, config: configOption }
}, async (given, context) => {
  const page = await ask<MemberPage>(given, context, 'member.list', { afterId: given.integer('after', pageBounds.after), countMax: given.integer('limit', pageBounds.limit) })
  if (given.has('json')) printJson(context, page)
  else {
    context.io.out(tableText([{ title: 'member', isRight: true }, { title: 'name' }, { title: 'created' }], page.members.map(({ memberId, name, createdAt }) => [String(memberId), name, createdAt])))
    if (page.nextAfter !== undefined) context.io.error(`there are more: --after ${page.nextAfter}\n`)
  }
  return exitCodes.ok
})

const memberToken = commandOf({
  name: 'tollgate member token',
  summary: 'Prints a token with which a member reads their own charges at the billing server.',
  positionals: [{ name: 'MEMBER', description: 'The member\'s number.' }],
  options: {
    valid: { value: 'DURATION', description: 'For how long, such as 12h or 90d; 30d without it.' },
    json: jsonOption,
    config: configOption
  }
}, async (given, context) => {
  const hint = 'tollgate member list shows them'
  const memberId = readInteger('MEMBER', given.positionals[0] ?? '', idBounds, hint)
  const validS = Math.max(1, Math.floor(readDurationMs('--valid', given.text('valid') ?? '30d', hint) / 1000))
  const issued = await ask<MemberToken>(given, context, 'member.token', { memberId, validS })
  if (!issued.isKnown) context.io.error(`note: member ${memberId} is not in this registry\n`)
  if (given.has('json')) printJson(context, issued)
  else context.io.out(`${issued.token}\n`)
  return exitCodes.ok
})

export const memberCommand = commandGroup('tollgate member', 'Members and their tokens for the billing server.', {
  create: { summary: 'creates a member', command: createMember },
  list: { summary: 'lists members', command: listMembers },
  token: { summary: 'prints a token with which a member reads their own charges', command: memberToken }
})
