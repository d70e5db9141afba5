// What the commands say of themselves and print, word for word.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { rangeOf, usageOf } from '../../src/billing/charge.ts'
import { membersUsageOf } from '../../src/billing/members.ts'
import { commands } from '../../src/cli/cli.ts'
import { openControlServer } from '../../src/cli/control-server.ts'
import type { GatewayView } from '../../src/billing/gateways.ts'
import { billHandlers } from '../../src/cli/handlers/bill.ts'
import { gatewayHandlers } from '../../src/cli/handlers/gateway.ts'
import { recoverHandlers } from '../../src/cli/handlers/recover.ts'
import type { VerifyView } from '../../src/cli/handlers/proof.ts'
import { TollgateError } from '../../src/domain/errors.ts'
import { hourOf } from '../../src/domain/window.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { stateFiles } from '../../src/platform/state-files.ts'
import { book, completeBeforeHour, memberHours, memberTotals } from '../helpers/billing-ledger.ts'
import { makeCliFolder, runTestCli } from '../helpers/cli.ts'
import type { Printed } from '../helpers/cli.ts'

/** `UPDATE_GOLDEN=1` writes the files anew, to be read before they are committed. */
function sameAsGolden (name: string, text: string): void {
  const file = path.join(import.meta.dirname, 'cli', `${name}.txt`)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text)
  assert.equal(text, readFileSync(file, 'utf8'))
}

const shown = (argv: readonly string[], { code, out, error }: Printed): string => `$ tollgate ${argv.join(' ')}\n${out}${error === '' ? '' : `[stderr]\n${error}`}[exit ${code}]\n`
const groups: Readonly<Record<string, readonly string[]>> = { member: ['create', 'list', 'token'], key: ['create', 'list', 'show', 'revoke', 'rotate'], verify: ['acknowledge'], gateway: ['list', 'retire'] }

test('help', async () => {
  const asked = [['--help'], ...commands.filter(({ name }) => name !== 'config').flatMap(({ name }) => [[name, '--help'], ...(groups[name] ?? []).map((member) => [name, member, '--help'])])]
  let text = ''
  for (const argv of asked) text += `${shown(argv, await runTestCli(argv))}\n`
  sameAsGolden('help', text)
})

test('mistakes', async () => {
  let text = ''
  for (const argv of [[], ['keys'], ['key'], ['key', 'make'], ['key', 'create', '--membr', '1'], ['key', 'create', '--member', '1', '--grade', 'GOLD'], ['key', 'revoke', 'seven'], ['key', 'rotate', '1', '--overlap', '1'], ['bill', '--member', '1', '--from', '2026-01-01'], ['bill', '--member', '1', '--from', '2026-01-01', '--to', '2026-01-02', '--by', 'week']]) {
    text += `${shown(argv, await runTestCli(argv))}\n`
  }
  sameAsGolden('mistakes', text)
})

test('members and keys, without a running program', async (t) => {
  const cli = makeCliFolder(t)
  const hide = (text: string): string => text
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<an instant in milliseconds>')
    .replaceAll(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<token>')
  let text = ''
  const asked = [
    ['member', 'create', '--name', 'Ada'], ['member', 'create', '--name', 'Bela', '--id', '40', '--json'], ['member', 'create', '--name', 'Caro', '--id', '40'], ['member', 'list'], ['member', 'token', '41'],
    ['key', 'create', '--member', '1', '--grade', 'GRADE_FREE', '--label', 'phone', '--expires', '2099-01-31'], ['key', 'create', '--member', '40', '--grade', 'GRADE_PREMIUM', '--json'], ['key', 'create', '--member', '40', '--grade', 'GRADE_PREMIUM', '--token-only'], ['key', 'create', '--member', '7', '--grade', 'GRADE_FREE'],
    ['key', 'revoke', '2'], ['key', 'revoke', '77'], ['key', 'rotate', '1', '--overlap', '15m'], ['key', 'rotate', '2'], ['key', 'show', '1'], ['key', 'show', '1', '--json'], ['key', 'show', '99'],
    ['key', 'list'], ['key', 'list', '--member', '40', '--limit', '1'], ['key', 'list', '--member', '1', '--json']
  ]
  for (const argv of asked) text += `${shown(argv, await cli.run(...argv))}\n`
  sameAsGolden('members-and-keys', hide(text).replaceAll(/^-[- ]*$/gm, '---').replaceAll(/ {2,}/g, '  '))
})

test('bills and proofs, from a running program', async (t) => {
  const cli = makeCliFolder(t)
  const row = { gatewayId: 'demo', hour: '2026-01-15T12', answered: 1_200, recovered: 1, journaled: 1_201, countedOnly: 0, archived: 1_201, deadLettered: 0, voided: 0, billable: 1_150, notBillable: 51, ledgerCount: 1_150, status: 'ok', problems: [] }
  const bad = { ...row, hour: '2026-01-15T13', archived: 1_200, ledgerCount: null, status: 'difference', problems: ['stream s: journaled, archived and dead-lettered and void: 1201 and 1200'] }
  const sums = { count: '5', units: '5', errorCount: '0', requestBytes: '50', responseBytes: '500' }
  const proof = { verify: [{ rows: [row], problems: [], unchecked: [], exitCode: 0 }, { rows: [row, bad], problems: ['the archive lacks a file'], unchecked: ['no ledger was asked'], exitCode: 1 }] }
  const days = rangeOf({ from: '2026-01-14', to: '2026-01-16', daysMax: 60 })
  const rebuilds = [
    { rows: 42, isApplied: false, refusedHours: [], differenceCount: 0, differences: [] },
    { rows: 42, isApplied: false, refusedHours: ['2026-01-15T11'], differenceCount: 2, differences: [{ hour: '2026-01-15T12', memberId: 7, apiKeyId: 3, apiEndpointId: 11, stored: sums, rebuilt: null }] }
  ]
  mkdirSync(cli.state)
  const server = await openControlServer({
    socketFile: stateFiles(cli.state).controlSocket,
    log: openLogger({ level: 'silent', thread: 'test' }),
    handlers: {
      ...billHandlers({
        bill: async ({ memberId, by }) => usageOf({ memberId, rows: memberHours, completeBeforeHour }, days, by, book),
        membersBill: async ({ after }) => membersUsageOf({ totals: { rows: memberTotals.filter(({ memberId }) => memberId === after + 7), hasMore: after === 0 }, completeBeforeHour }, days, book)
      }),
      verify: async () => proof.verify.shift(),
      'verify.acknowledge': async () => ({ gatewayId: 'demo', hour: '2026-01-15T13', at: '2026-01-16T00:00:00.000Z', reason: 'a dead disk', row: bad }),
      rebuild: async () => rebuilds.shift()
    }
  })
  t.after(() => server.close())
  const allMembers = ['--from', '2026-01-14', '--to', '2026-01-16']
  const range = ['--member', '7', ...allMembers]
  const asked = [
    ...['day', 'hour', 'key', 'endpoint'].map((by) => ['bill', ...range, '--by', by]), ['bill', ...range, '--by', 'endpoint', '--csv'], ['bill', ...range, '--by', 'key', '--json'], ['bill', ...range, '--csv', '--json'],
    ['bill', ...allMembers], ['bill', ...allMembers, '--csv'], ['bill', ...allMembers, '--json'], ['bill', ...allMembers, '--by', 'day'],
    ['verify'], ['verify', '--wait', '5'], ['verify', 'acknowledge', 'demo', '2026-01-15T13', '--reason', 'a dead disk'], ['verify', 'acknowledge', 'demo'], ['rebuild'], ['rebuild']
  ]
  let text = ''
  for (const argv of asked) text += `${shown(argv, await cli.run(...argv))}\n`
  sameAsGolden('bills-and-proofs', text.replaceAll('\r\n', '\n'))
})

test('gateways of a cluster, from a running billing server', async (t) => {
  const cli = makeCliFolder(t)
  const view = { openStreams: 1, streams: 3, countedBeforeMs: Date.UTC(2026, 0, 15, 12), uncounted: 0, lastSeenMs: Date.UTC(2026, 0, 15, 13), holds: [], retirement: null }
  const gateways: GatewayView[] = [
    { ...view, gatewayId: 'pi1', state: 'open' },
    { ...view, gatewayId: 'pi2', state: 'open', uncounted: 17, holds: ['stream 5e0c: its watermark has not passed the end of the hour'] },
    { ...view, gatewayId: 'pi3', state: 'retired', openStreams: 0, countedBeforeMs: null, retirement: { atMs: Date.UTC(2026, 0, 15, 11), reason: 'its disk is dead', isLost: true } }
  ]
  const report: VerifyView & { readonly warnings: readonly string[] } = { rows: [], problems: [], unchecked: [], warnings: ['hour 2026-01-15T12: 2 archive files have fewer than 2 copies'], exitCode: 0 }
  mkdirSync(cli.state)
  const server = await openControlServer({
    socketFile: stateFiles(cli.state).controlSocket,
    log: openLogger({ level: 'silent', thread: 'test' }),
    handlers: {
      ...gatewayHandlers({
        gateways: async () => ({ completeBeforeHour: gateways.length === 0 ? 0 : hourOf(Date.UTC(2026, 0, 15, 12)), gateways: gateways.splice(0) }),
        retire: async ({ gatewayId, isLost, isForced }) => {
          if (!isForced) throw new TollgateError('GATEWAY_ALIVE', `${gatewayId} has spoken within the last minute`)
          return { gatewayId, atMs: Date.UTC(2026, 0, 15, 14), isLost }
        }
      }),
      verify: async () => report,
      ...recoverHandlers({
        recover: async () => {},
        giveUp: async ({ streamId }) => ({ streamId, afterSeq: 120, toSeq: 161 }),
        status: async () => ({ ownerName: 'pi2', isMember: true, partitions: [] })
      })
    }
  })
  t.after(() => server.close())
  const stream = '11e72829-75f5-4143-9a38-27c7d05c32ce'
  const asked = [
    ['gateway', 'list'], ['gateway', 'list'], ['gateway', 'retire', 'pi2'], ['gateway', 'retire', 'pi2', '--reason', 'gone'], ['gateway', 'retire', 'pi2', '--reason', 'gone', '--lost', '--force'],
    ['gateway', 'retire', 'pi2', '--reason', 'gone', '--force', '--json'], ['verify'],
    ['recover', '--partition', '2', '--keep', 'file'], ['recover', '--partition', '2', '--keep', 'topic'], ['recover', '--partition', '2', '--keep', 'both'], ['recover', '--partition', '2', '--keep', 'file', '--yes'], ['recover', '--partition', '2', '--keep', 'topic', '--yes', '--json'],
    ['recover', '--partition', '2'], ['recover', '--partition', '2', '--give-up', stream], ['recover', '--partition', '2', '--give-up', stream, '--reason', 'its disk is gone'],
    ['recover', '--partition', '2', '--give-up', stream, '--reason', 'its disk is gone', '--yes'], ['recover', '--partition', '2', '--keep', 'file', '--reason', 'why']
  ]
  let text = ''
  for (const argv of asked) text += `${shown(argv, await cli.run(...argv))}\n`
  sameAsGolden('gateways', text)
})
