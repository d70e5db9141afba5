// A reload: the file is read and checked as a whole, every part makes what it asks of it, and only when all have, all put it
// in force. Whatever fails before that leaves everything as it was.
import { isDeepStrictEqual } from 'node:util'
import type { LoadedProgram } from '../config/load.ts'
import type { Certificates } from '../config/certificates.ts'
import { ConfigError } from '../config/problem.ts'
import { mergeConfig } from '../config/reload.ts'
import type { Config } from '../config/schema.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { formatTimeMs } from '../domain/window.ts'
import { isCatalogued } from '../platform/http-problem.ts'
import type { Logger } from '../platform/logger.ts'
import { metricJson } from '../platform/metrics.ts'
import type { MetricsJson, ThreadHandle } from '../platform/thread.ts'

export interface Rules { readonly config: Config, readonly priceBook: PriceBook, readonly certificates: Certificates, readonly upstreamTls: LoadedProgram['upstreamTls'] }

export interface ReloadPart {
  /** Makes everything that the rules ask of this part, and puts nothing in force. */
  readonly prepare: (rules: Rules) => Promise<void>
  /** Puts in force what is prepared; it can't fail. */
  readonly commit: () => Promise<void>
  /** Forgets what is prepared, if anything is. */
  readonly abort: () => Promise<void>
}

/** `changed`: keys that took effect; `needsRestart`: keys that differ and stay as they were. */
export interface ReloadAnswer { readonly changed: readonly string[], readonly needsRestart: readonly string[], readonly warnings: readonly string[] }

export interface Reloader {
  /** One at a time. @throws ConfigError, and what a part can't be prepared with: then nothing has changed */
  readonly reload: () => Promise<ReloadAnswer>
  readonly inForce: () => Rules
  readonly metrics: () => MetricsJson
}

type Result = 'applied' | 'refused' | 'failed'

/** @param parts in the order in which they commit: who must know a rule first comes first */
export function openReloader ({ loaded, parts, log, nowMs }: { readonly loaded: LoadedProgram, readonly parts: readonly ReloadPart[], readonly log: Logger, readonly nowMs: () => number }): Reloader {
  const counts: Record<Result, number> = { applied: 0, refused: 0, failed: 0 }
  let rules: Rules = loaded
  let last: Promise<unknown> = Promise.resolve()

  const apply = async (): Promise<ReloadAnswer> => {
    const { warnings, ...next } = loaded.again()
    const { config, changed, needsRestart } = mergeConfig(rules.config, next.config)
    const merged = { config, priceBook: next.priceBook, certificates: certificatesOf(rules.certificates, next.certificates), upstreamTls: next.upstreamTls }
    const changedFiles = filesChanged(rules, merged)
    refuseExpired(rules, merged, nowMs())
    try {
      for (const part of parts) await part.prepare(merged)
    } catch (error) {
      for (const part of parts) await part.abort()
      throw error
    }
    for (const part of parts) await part.commit()
    rules = merged
    return { changed: [...new Set([...changed, ...changedFiles])], needsRestart, warnings }
  }

  const reload = async (): Promise<ReloadAnswer> => {
    try {
      const answer = await apply()
      counts.applied++
      log.info(answer, 'the configuration was read anew and is in force')
      for (const warning of answer.warnings) log.warn(warning)
      if (answer.needsRestart.length > 0) log.warn({ needsRestart: answer.needsRestart }, 'these keys have changed in the configuration and stay as they were until the program is started again')
      return answer
    } catch (error) {
      const isRefused = isCatalogued(error)
      counts[isRefused ? 'refused' : 'failed']++
      if (error instanceof ConfigError) log.error({ problems: error.problems }, 'the configuration can\'t be used: nothing has changed')
      else log.error({ error }, isRefused ? 'what the configuration names can\'t be used: nothing has changed' : 'the reload failed: nothing has changed')
      throw error
    }
  }

  return {
    reload: () => {
      const mine = last.then(reload)
      last = mine.catch(() => {})
      return mine
    },
    inForce: () => rules,
    metrics: () => [metricJson('tollgate_reloads_total', Object.entries(counts).map(([result, value]) => ({ labels: { result }, value })))]
  }
}

const listeners = ['gateway', 'operator'] as const

/** A listener that has served without TLS does so until the restart, and the other way round. */
function certificatesOf (former: Certificates, next: Certificates): Certificates {
  return Object.fromEntries(listeners.filter((name) => former[name] !== undefined).map((name) => [name, next[name] ?? former[name]]))
}

/** Keys whose files say something else, whatever their names are. */
function filesChanged (former: Rules, next: Rules): string[] {
  return [
    ...isDeepStrictEqual(next.priceBook.document, former.priceBook.document) ? [] : ['billing.priceBookFile'],
    ...isDeepStrictEqual(next.upstreamTls, former.upstreamTls) ? [] : ['gateway.upstreams'],
    ...listeners.filter((name) => !isDeepStrictEqual(former.certificates[name], next.certificates[name])).map((name) => `${name}.listen.tls.certificateFile`)
  ]
}

/** One that has expired while it is in force is no mistake of the file's; to put one in force is. @throws ConfigError */
function refuseExpired (former: Rules, next: Rules, nowMs: number): void {
  const problems = listeners.flatMap((name) => {
    const certificate = next.certificates[name]
    if (certificate === undefined || certificate.notAfterMs > nowMs || certificate.certificate === former.certificates[name]?.certificate) return []
    return [{ path: `${name}.listen.tls.certificateFile`, message: `the certificate has expired at ${formatTimeMs(certificate.notAfterMs)}`, remedy: 'put a valid one in its place' }]
  })
  if (problems.length > 0) throw new ConfigError(problems)
}

/** A part whose threads answer `prepare`, `commit` and `abort`. @param rulesOf what they are told */
export function threadReload (threads: readonly Pick<ThreadHandle, 'rpc'>[], rulesOf: (rules: Rules) => unknown): ReloadPart {
  const ask = async (method: string, argument?: unknown): Promise<void> => { await Promise.all(threads.map(({ rpc }) => rpc.ask(method, argument))) }
  return {
    prepare: async (rules) => { await ask('prepare', rulesOf(rules)) },
    commit: async () => { await ask('commit') },
    abort: async () => { await ask('abort') }
  }
}
