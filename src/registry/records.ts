// Records of a registry as they stand in a file or come over a socket: checked before anybody uses them.
import { gradeTypes } from '../domain/usage-event.ts'
import { timeMsMax } from '../domain/window.ts'
import { readSecrets } from './key-secrets.ts'
import type { KeyRecord, MemberRecord, RegistryRecord } from './port.ts'
import { isName } from './rules.ts'

/** Of one page of an export. */
export const pageRecordsMax = 1_000

type Check = (value: unknown) => boolean
const id: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 1
const whole: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const time: Check = (value) => whole(value) && (value as number) <= timeMsMax
const kinds: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  member: { memberId: id, name: (value) => typeof value === 'string' && isName(value), createdAtMs: time },
  key: {
    apiKeyId: id,
    memberId: id,
    grade: (value) => gradeTypes.some((grade) => grade === value),
    label: (value) => value === '' || (typeof value === 'string' && isName(value)),
    createdAtMs: time,
    expiresAtMs: (value) => value === undefined || time(value),
    secrets: (value) => value === undefined || (typeof value === 'string' && readSecrets(value) !== undefined)
  },
  revoked: { apiKeyId: id, revokedAtMs: time },
  rotated: { apiKeyId: id, issuedFromS: whole, overlapUntilMs: whole }
}

/** @returns what is wrong, as the end of a sentence, for anything but a record */
export function readRecord (value: unknown): RegistryRecord | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'is no object'
  const { kind, ...fields } = value as Readonly<Record<string, unknown>>
  // Of `issued` there are two, by the number that is in it.
  const checks = kind === 'issued' ? { ['memberId' in fields ? 'memberId' : 'apiKeyId']: whole } : typeof kind === 'string' && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined
  if (checks === undefined) return `has the unknown kind ${JSON.stringify(kind)}`
  const wrong = Object.entries(checks).find(([name, check]) => !check(fields[name]))
  if (wrong !== undefined) return wrong[0] in fields ? `has no good ${wrong[0]}` : `has no ${wrong[0]}`
  const extra = Object.keys(fields).find((name) => !Object.hasOwn(checks, name))
  return extra === undefined ? value as RegistryRecord : `has the unknown field ${JSON.stringify(extra)}`
}

export function isSameMember (a: MemberRecord, b: MemberRecord): boolean { return a.name === b.name && a.createdAtMs === b.createdAtMs }

/** But for secrets, which come and go. */
export function isSameKey (a: KeyRecord, b: KeyRecord): boolean {
  return a.memberId === b.memberId && a.grade === b.grade && a.label === b.label && a.createdAtMs === b.createdAtMs && a.expiresAtMs === b.expiresAtMs
}
