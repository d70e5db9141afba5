// The registry in Redis as records, and records into it.
import { TollgateError } from '../domain/errors.ts'
import type { ErrorCode } from '../domain/errors.ts'
import { mergedSecrets } from './key-secrets.ts'
import { rotationsWith } from './key-state.ts'
import type { Rotation } from './key-state.ts'
import type { Imported, KeyRecord, MemberRecord, RecordPage, RegistryRecord } from './port.ts'
import { isSameKey, isSameMember, pageRecordsMax } from './records.ts'
import type { KeyStateInRedis, MemberState, RegistryCommands } from './redis-commands.ts'
import { rotationsText } from './redis-entities.ts'
import { createKeyScript, createMemberScript, raiseScript, revokeScript, rotateScript } from './redis-keys.ts'
import { keysMax, membersMax } from './rules.ts'

const phases = ['issued', 'members', 'keys', 'refusals'] as const
type Phase = typeof phases[number]
const attemptsMax = 64
const togetherMax = 100

export async function exportFromRedis (commands: RegistryCommands, cursor = 'issued 0'): Promise<RecordPage> {
  const [phase, afterText] = cursor.split(' ') as [Phase, string]
  const { records, last } = await pageOf(commands, phase, Number(afterText))
  if (last !== undefined) return { records, next: `${phase} ${last}` }
  const following = phases[phases.indexOf(phase) + 1]
  return { records, next: following === undefined ? undefined : `${following} 0` }
}

/** `last`: where the next page of this phase begins; undefined at its end. */
interface PhasePage { readonly records: readonly RegistryRecord[], readonly last: number | undefined }

async function pageOf (commands: RegistryCommands, phase: Phase, after: number): Promise<PhasePage> {
  switch (phase) {
    case 'issued': {
      const { memberIdMax, apiKeyIdMax } = await commands.position()
      return { records: [{ kind: 'issued', memberId: memberIdMax }, { kind: 'issued', apiKeyId: apiKeyIdMax }], last: undefined }
    }
    case 'members':
    case 'keys': {
      const ids = await commands.numbersAfter(phase, after, pageRecordsMax)
      const states = await commands.states(ids.map((id) => phase === 'members' ? `m${id}` as const : `k${id}` as const))
      const records = states.map((state) => { if (state instanceof TollgateError) throw state; return 'memberId' in state ? state.member : state.key })
      return { records: records.filter((record) => record !== undefined), last: ids.at(-1) }
    }
    case 'refusals': {
      // Every number that was ever refused stands in the log of changes, also those that are not in the registry.
      const changes = await commands.changesAfter(after, pageRecordsMax)
      const states = await commands.states(changes.map(({ name }) => name).filter((name) => name.startsWith('k')))
      return { records: states.flatMap((state) => { if (state instanceof TollgateError) throw state; return refusalsOf(state as KeyStateInRedis) }), last: changes.at(-1)?.version }
    }
  }
}

function refusalsOf ({ apiKeyId, revokedAtMs, rotations }: KeyStateInRedis): RegistryRecord[] {
  return [
    ...(revokedAtMs === undefined ? [] : [{ kind: 'revoked', apiKeyId, revokedAtMs } as const]),
    ...rotations.map(({ issuedFromS, overlapUntilMs }) => ({ kind: 'rotated', apiKeyId, issuedFromS, overlapUntilMs } as const))
  ]
}

/** Records of one kind that stand together go together: they don't need each other, and a round trip for each would take long. */
export async function importIntoRedis (commands: RegistryCommands, records: readonly RegistryRecord[], nowMs: number): Promise<Imported> {
  let [added, same] = [0, 0]
  for (let from = 0; from < records.length;) {
    let to = from + 1
    while (to < records.length && to - from < togetherMax && records[to]?.kind === records[from]?.kind) to++
    const outcomes = await Promise.allSettled(records.slice(from, to).map((record) => takeRecord(commands, record, nowMs)))
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'rejected') return { added, same, problem: problemOf(outcome.reason, from + index) }
      if (outcome.value) added++
      else same++
    }
    from = to
  }
  return { added, same }
}

/** @throws whatever isn't the record's own fault */
function problemOf (error: unknown, index: number): NonNullable<Imported['problem']> {
  if (!(error instanceof TollgateError) || error.code.startsWith('REDIS_')) throw error
  return { index, code: error.code, message: error.message }
}

/** True when it wasn't there. @throws TollgateError */
export async function takeRecord (commands: RegistryCommands, record: RegistryRecord, nowMs: number): Promise<boolean> {
  switch (record.kind) {
    case 'issued': return await changed(commands, raiseScript, 'memberId' in record ? [String(record.memberId), '0'] : ['0', String(record.apiKeyId)]) === '1'
    case 'member': return await takeMember(commands, record)
    case 'key': return await takeKey(commands, record)
    case 'revoked': return await changed(commands, revokeScript, [String(record.apiKeyId), String(record.revokedAtMs)]) === '1'
    case 'rotated': return await takeRotation(commands, record.apiKeyId, record, nowMs)
  }
}

async function takeMember (commands: RegistryCommands, record: MemberRecord): Promise<boolean> {
  const fields = await commands.entities.memberFields(record)
  const { code } = await commands.change(createMemberScript, [String(record.memberId), String(membersMax), ...fields])
  if (code !== 'MEMBER_EXISTS') return mustBeDone(code)
  const [state] = await commands.states([`m${record.memberId}`])
  if (state instanceof TollgateError) throw state
  const { member } = state as MemberState
  if (member === undefined || !isSameMember(member, record)) throw new TollgateError('MEMBER_EXISTS', `member ${record.memberId} is here as another one`)
  return false
}

async function takeKey (commands: RegistryCommands, record: KeyRecord): Promise<boolean> {
  const fields = await commands.entities.keyFields(record)
  const { code } = await commands.change(createKeyScript, [String(record.memberId), String(record.apiKeyId), String(keysMax), '1', ...fields])
  if (code === 'MEMBER_UNKNOWN') throw new TollgateError('MEMBER_UNKNOWN', `key ${record.apiKeyId} belongs to member ${record.memberId}, who isn't here`)
  if (code !== 'KEY_EXISTS') return mustBeDone(code)
  const [state] = await commands.states([`k${record.apiKeyId}`])
  if (state instanceof TollgateError) throw state
  const { key } = state as KeyStateInRedis
  const secrets = mergedSecrets(key?.secrets, record.secrets)
  if (key === undefined || secrets === undefined || !isSameKey(key, record)) throw new TollgateError('KEY_EXISTS', `key ${record.apiKeyId} is here as another one`)
  return await changeKey(commands, record.apiKeyId, ({ rotations, key: now }) => ({ rotations, secrets: mergedSecrets(now?.secrets, record.secrets) ?? '' }))
}

async function takeRotation (commands: RegistryCommands, apiKeyId: number, { issuedFromS, overlapUntilMs }: Rotation, nowMs: number): Promise<boolean> {
  return await changeKey(commands, apiKeyId, ({ rotations, key }) => ({ rotations: rotationsWith(rotations, { issuedFromS, overlapUntilMs }, nowMs), secrets: key?.secrets ?? '' }))
}

/** Until nobody else has changed the key in between. @returns whether there was anything to change */
async function changeKey (commands: RegistryCommands, apiKeyId: number, changed: (state: KeyStateInRedis) => { readonly rotations: readonly Rotation[], readonly secrets: string }): Promise<boolean> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const [state] = await commands.states([`k${apiKeyId}`])
    if (state instanceof TollgateError) throw state
    const before = state as KeyStateInRedis
    const after = changed(before)
    const [rotationsBefore, rotationsAfter, secretsBefore] = [rotationsText(before.rotations), rotationsText(after.rotations), before.key?.secrets ?? '']
    if (rotationsAfter === rotationsBefore && after.secrets === secretsBefore) return false
    if ((await commands.change(rotateScript, [String(apiKeyId), rotationsBefore, rotationsAfter, '0', secretsBefore, after.secrets])).code === 'OK') return true
  }
  throw new TollgateError('REDIS_FAILED', `key ${apiKeyId} was changed by others all the time: try again`)
}

async function changed (commands: RegistryCommands, script: string, values: readonly string[]): Promise<string> { return (await commands.change(script, values)).result }

function mustBeDone (code: string): true {
  if (code !== 'OK') throw new TollgateError(code as ErrorCode, 'the registry has as many members or keys as it may have')
  return true
}
