// Tollgate as an operator runs it: all roles in one process, answers held until their events are durable. The defaults of
// the configuration, but for grades so high that the limiter counts and never refuses, and for an archive that is written
// often enough to belong to the load that filled it.
import { pathToFileURL } from 'node:url'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand, runJson, writeProgramFiles } from '../../test/helpers/program.ts'
import type { ProgramFiles } from '../../test/helpers/program.ts'
import { startMeasured } from '../harness/program.ts'
import { readMetrics } from '../harness/program-metrics.ts'
import type { BenchContext } from '../harness/scenario.ts'
import type { Seen } from './contestant.ts'

export interface Tollgate {
  readonly files: ProgramFiles
  readonly pid: number
  readonly memberId: number
  /** Goes into X-API-KEY. */
  readonly token: string
  /** See Contestant.settle. */
  readonly settleBilled: (seen: Seen) => Promise<void>
  readonly settleUnbilled: () => Promise<void>
  readonly verify: () => Promise<void>
  readonly stop: () => Promise<void>
}

const pollMs = 250
const standstillMsMax = 180_000
/** Millions of events are read again. */
const verifyMsMax = 1_800_000

/** A day from today, as bills are asked for. */
const day = (offset: number): string => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10)

/** Requests on the member's bill, one number for each key or endpoint that has any. */
export async function usageCounts ({ files, memberId }: Tollgate, by: 'key' | 'endpoint'): Promise<number[]> {
  const url = `http://127.0.0.1:${files.ports.privateBilling}/private/usage/v1/members/${memberId}?from=${day(-1)}&to=${day(0)}&by=${by}`
  const response = await fetch(url, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  if (response.status !== 200) throw new Error(`${url} was answered with ${response.status}`)
  return (await response.json() as { readonly lines: readonly { readonly count: number }[] }).lines.map(({ count }) => count)
}

/** The member's bill over HTTP: how many requests it charges for. */
async function billedOf (files: ProgramFiles, memberId: number, memberToken: string): Promise<number> {
  const url = `http://127.0.0.1:${files.ports.billing}/api/aggregation/v1/member/${memberId}/charge/total?startDate=${day(-1)}&endDate=${day(0)}`
  const response = await fetch(url, { headers: { authorization: `Bearer ${memberToken}` } })
  const content = await response.json() as { success: boolean, result: { totalCount: number } }
  if (!content.success) throw new Error(`${url} answered ${response.status}`)
  return content.result.totalCount
}

/** Looks at a number until it is as it must be. @throws when it has stood still for `standstillMsMax`: being slow is no mistake */
async function arrived (what: string, read: () => Promise<number>, isDone: (value: number) => boolean): Promise<number> {
  let last: number | undefined
  let failure: unknown
  for (let sinceMs = performance.now(); ;) {
    // Whoever is asked may be too busy once.
    const value: number | undefined = await read().catch((error: unknown) => { failure = error; return last })
    if (value !== undefined && isDone(value)) return value
    if (value !== last) { last = value; sinceMs = performance.now() }
    if (performance.now() - sinceMs > standstillMsMax) throw new Error(`did not happen: ${what}; it stands at ${last ?? 'nothing'}`, { cause: failure })
    await sleep(pollMs)
  }
}

/** Compares the bill with what clients saw, load by load. */
export class Books {
  #billedBefore = 0
  readonly #read: () => Promise<number>
  readonly #operatorPort: number
  constructor (read: () => Promise<number>, operatorPort: number) {
    this.#read = read
    this.#operatorPort = operatorPort
  }

  async settle ({ complete, cutMax }: Seen): Promise<void> {
    const least = this.#billedBefore + complete
    let billed = await arrived(`${complete} more requests are on the bill`, this.#read, (count) => count >= least)
    // What was cut may still arrive: the bill is read when it has come to rest.
    for (let last = -1; cutMax > 0 && last !== billed;) {
      last = billed
      await sleep(2 * pollMs)
      billed = await this.#read()
    }
    if (billed > least + cutMax) throw new Error(`${billed - this.#billedBefore} requests were billed, but only ${complete} were answered and ${cutMax} cut`)
    this.#billedBefore = billed
    // The archive's share of the work belongs to the load that caused it.
    await arrived('everything is archived', async () => (await readMetrics(this.#operatorPort)).get('tollgate_archive_waiting_events') ?? -1, (waiting) => waiting === 0)
  }
}

export interface TollgateSetup {
  readonly folder: string
  readonly upstreamPort: number
  readonly archiveFlushMs: number
  /** A module loaded into every thread before anything else. */
  readonly preload?: string
  readonly extra?: string
  /** Keys of the configuration as an operator overrides them. */
  readonly env?: Readonly<Record<string, string>>
  /** YAML of the routes, and of the price book. */
  readonly routes?: string
  readonly prices?: string
  /** The next free one where it isn't said. */
  readonly memberId?: number
  /** Called before the program is started, with its files. */
  readonly prepare?: (files: ProgramFiles) => Promise<void>
}

export interface Caller {
  readonly memberId: number
  /** Goes into X-API-KEY. */
  readonly token: string
  /** Asks for its bill over HTTP. @returns requests on it */
  readonly countBilled: () => Promise<number>
}

/** A member with one key. @param memberId the next free one where it isn't said */
export async function createCaller (files: ProgramFiles, name: string, memberId?: number): Promise<Caller> {
  const member = await runJson<{ memberId: number }>(files, ['member', 'create', '--name', name, ...(memberId === undefined ? [] : ['--id', String(memberId)])])
  const id = String(member.memberId)
  const { token } = await runJson<{ token: string }>(files, ['key', 'create', '--member', id, '--grade', 'GRADE_PREMIUM'])
  const memberToken = (await runJson<{ token: string }>(files, ['member', 'token', id])).token
  return { memberId: member.memberId, token, countBilled: () => billedOf(files, member.memberId, memberToken) }
}

/** Started, with a member and a key; stopped at the scenario's end. */
export async function startTollgate (context: BenchContext, setup: TollgateSetup): Promise<Tollgate> {
  const extra = `archive: { flushIntervalMs: ${setup.archiveFlushMs} }\n${setup.extra ?? ''}`
  const { routes, prices } = setup
  const files = await writeProgramFiles({
    folder: setup.folder, upstreamUrl: `http://127.0.0.1:${setup.upstreamPort}`, extra, ...(routes === undefined ? {} : { routes }), ...(prices === undefined ? {} : { prices })
  })
  const env = { ...setup.env, ...(setup.preload === undefined ? {} : { NODE_OPTIONS: `--import=${pathToFileURL(path.resolve(setup.preload)).href}` }) }
  await setup.prepare?.(files)
  const program = await startMeasured(context, files, { env })
  const { memberId, token, countBilled } = await createCaller(files, 'bench', setup.memberId)
  const books = new Books(countBilled, files.ports.operator)
  return {
    files,
    pid: program.pid,
    memberId,
    token,
    settleBilled: (seen) => books.settle(seen),
    settleUnbilled: () => books.settle({ complete: 0, cutMax: 0 }),
    verify: () => verify(files),
    stop: async () => { await program.stop() }
  }
}

/** @throws unless `tollgate verify` proves that everything answered is on the bill */
export async function verify (files: ProgramFiles): Promise<void> {
  const proof = await runCommand(files, ['verify', '--wait', '300'], { timeoutMs: verifyMsMax })
  if (proof.code !== 0) throw new Error(`tollgate verify ended with ${proof.code}:\n${proof.stdout}${proof.stderr}`)
}
