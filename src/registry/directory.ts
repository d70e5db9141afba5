// What a gateway worker asks for each token it hasn't seen: the state of its key, from memory, else from two indexed reads
// of the registry's file. Changes by other threads and processes are noticed by a timer, never by a request.
import { LRUCache } from 'lru-cache'
import { TollgateError } from '../domain/errors.ts'
import { every } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { openRegistryForReading, prepareKeyClaims, prepareKeyFacts, reading } from './database.ts'
import { contactAgeIn } from './contact.ts'
import { keyStateOf } from './key-state.ts'
import type { KeyAnswer, KeyFacts } from './key-state.ts'
import type { KeyDirectory } from './port.ts'

/** The file mirrors a registry elsewhere, and what is in it counts only so long. */
export interface StalenessOptions {
  /** When everything was last known to be the same: see contact.ts. */
  readonly contact: SharedArrayBuffer
  /** Then keys count as unknown; what is refused stays refused. */
  readonly stalenessMsMax: number
}

export interface DirectoryOptions {
  /** The registry's file; the program has opened it before its gateways start. */
  readonly file: string
  /** Keys remembered, also those that are not in the registry; about 200 bytes each. */
  readonly cacheKeysMax: number
  /** How often to look for changes; 250 keeps a revocation well under its second. */
  readonly pollIntervalMs: number
  readonly log: Logger
  readonly staleness?: StalenessOptions
}

/** Without contact for so long the registry counts as away, and a key that isn't in the file may be in the registry. */
const awayAfterMs = 5_000
/** What can't be checked is looked at again this soon. */
const recheckMs = 1_000

/** @throws TollgateError REGISTRY_UNREADABLE, also from `stateOf` and `claimsOf` when the file can't be read any more: then the key can't be checked */
export function openKeyDirectory ({ file, cacheKeysMax, pollIntervalMs, log, staleness }: DirectoryOptions): KeyDirectory {
  const database = openRegistryForReading(file)
  const factsOf = prepareKeyFacts(database)
  const claimsOf = prepareKeyClaims(database)
  // Changes with every commit that another connection makes to the file.
  const dataVersion = database.prepare('pragma data_version')
  const readVersion = (): number => Number(dataVersion.get()?.['data_version'])
  const cache = new LRUCache<number, KeyFacts>({ max: cacheKeysMax })
  let seen = readVersion()
  let version = 1
  let isFailing = false

  const poll = (): void => {
    try {
      const current = readVersion()
      isFailing = false
      if (current === seen) return
      seen = current
    } catch (error) {
      if (!isFailing) log.error({ error, file }, 'the registry cannot be read: keys are checked against nothing older than this from now on')
      isFailing = true
    }
    // Cleared before the version rises, so that whoever sees the new version finds no old answer. A registry that can't be
    // read is never answered for from memory: a revocation might be missed.
    cache.clear()
    version++
  }
  const timer = every(pollIntervalMs, poll)

  const lookUp = <Result>(look: () => Result): Result => {
    try {
      return reading(file, look)
    } catch (error) {
      throw error instanceof TollgateError ? error : new TollgateError('REGISTRY_UNREADABLE', `the registry ${file} can't be read`, { cause: error })
    }
  }

  const contactAgeMs = staleness === undefined ? undefined : contactAgeIn(staleness.contact)
  const aged = (answer: KeyAnswer, nowMs: number): KeyAnswer => {
    if (staleness === undefined || contactAgeMs === undefined || (answer.state !== 'active' && answer.state !== 'unknown')) return answer
    const leftMs = (answer.state === 'active' ? staleness.stalenessMsMax : awayAfterMs) - contactAgeMs()
    return leftMs <= 0 ? { state: 'unchecked', untilMs: nowMs + recheckMs } : { state: answer.state, untilMs: Math.min(answer.untilMs, nowMs + leftMs) }
  }

  return {
    version: () => version,
    stateOf: (apiKeyId, issuedAtS, nowMs) => {
      let facts = cache.get(apiKeyId)
      if (facts === undefined) cache.set(apiKeyId, facts = lookUp(() => factsOf(apiKeyId)))
      return aged(keyStateOf(facts, issuedAtS, nowMs), nowMs)
    },
    // Never from memory: what is in it would show, by the time, which keys are in use.
    claimsOf: (secretDigest) => lookUp(() => claimsOf(secretDigest)) ?? ((contactAgeMs?.() ?? 0) >= awayAfterMs ? 'unchecked' : 'unknown'),
    close: () => {
      timer.cancel()
      database.close()
    }
  }
}
