// One look at the registry in Redis: what changed since the last one, or everything when that can't be told any more. Nothing
// that is refused here is ever forgotten because Redis has forgotten it: before everything is read, our refusals and the numbers
// we know were given away are brought to Redis. Members and keys that Redis no longer has are set aside in a file, then removed.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { MirrorPosition, MirrorStore, Seen } from './mirror-store.ts'
import type { RegistryCommands, RegistryPosition, RegistryState } from './redis-commands.ts'
import { raiseScript, revokeScript } from './redis-keys.ts'
import { takeRecord } from './redis-transfer.ts'
import { writeTransferFile } from './transfer-file.ts'

export interface MirrorReadOptions {
  readonly store: MirrorStore
  readonly commands: RegistryCommands
  /** Where what Redis no longer has is set aside. */
  readonly folder: string
  readonly clock: Clock
  readonly log: Logger
}

const pageCount = 200
const setAsidePrefix = 'registry-set-aside-'
const setAsideFilesMax = 5

export class MirrorRead {
  changes = 0
  fullReads = 0
  /** Members and keys that could not be read. */
  foreign = 0
  readonly #options: MirrorReadOptions

  constructor (options: MirrorReadOptions) { this.#options = options }

  /**
   * When it resolves, everything that Redis had when it was called is here.
   * @param runId of the Redis process; '' where it isn't known, which counts as a new one
   * @param isNewConnection only then `runId` says anything new
   */
  async look (runId: string, isNewConnection: boolean): Promise<void> {
    const { store, commands } = this.#options
    const known = store.position()
    const position = await commands.position()
    const isSameProcess = !isNewConnection || (runId !== '' && known?.runId === runId)
    if (known !== undefined && isSameProcess && known.epoch === (position.epoch ?? '') && position.version >= known.version) {
      if (position.version > known.version) await this.#follow(known, position)
      return
    }
    await this.#bringRefusals()
    await this.#readAll(known, runId)
  }

  async #follow (known: MirrorPosition, position: RegistryPosition): Promise<void> {
    this.#takeNumbers(position)
    for (let after = known.version; ;) {
      const page = await this.#readPage(after)
      if (page === undefined) return
      after = page.last
      this.#apply(page.states, { ...known, version: after })
    }
  }

  async #readAll (known: MirrorPosition | undefined, runId: string): Promise<void> {
    const { store, commands, log } = this.#options
    this.fullReads++
    const position = await commands.position()
    const epoch = position.epoch ?? ''
    if (known !== undefined && known.epoch !== '' && known.epoch !== epoch) log.warn({ before: known.epoch, now: epoch }, 'the registry in Redis is another one than before, or was emptied: it is read as a whole; what is revoked stays revoked')
    this.#takeNumbers(position)
    const seen: Seen = { members: new Set(), keys: new Set() }
    let last = 0
    for (;;) {
      const page = await this.#readPage(last)
      if (page === undefined) break
      last = page.last
      for (const id of page.unreadable) (id.startsWith('m') ? seen.members : seen.keys).add(Number(id.slice(1)))
      for (const state of page.states) {
        if ('memberId' in state) { if (state.member !== undefined) seen.members.add(state.memberId) } else if (state.key !== undefined) seen.keys.add(state.apiKeyId)
      }
      this.#apply(page.states, undefined)
    }
    await this.#dropSurplus(seen)
    store.setPosition({ epoch, version: Math.max(last, position.version), runId })
    log.info({ members: seen.members.size, keys: seen.keys.size, version: position.version }, 'the registry was read from Redis')
  }

  /** Undefined at the end of the log of changes. */
  async #readPage (after: number): Promise<{ readonly states: readonly RegistryState[], readonly unreadable: readonly string[], readonly last: number } | undefined> {
    const { commands } = this.#options
    const changes = await commands.changesAfter(after, pageCount)
    const last = changes.at(-1)?.version
    if (last === undefined) return undefined
    const unreadable: string[] = []
    const found = await commands.states(changes.map(({ name }) => name))
    const states = found.flatMap((state, index) => {
      if (!(state instanceof TollgateError)) return [state]
      unreadable.push(changes[index]?.name ?? '')
      this.#passOver(state)
      return []
    })
    return { states: [...await this.#missingMembers(states), ...states], unreadable, last }
  }

  /** A member whose last change comes after its key's, and who isn't here yet. */
  async #missingMembers (states: readonly RegistryState[]): Promise<readonly RegistryState[]> {
    const { store, commands } = this.#options
    const here = new Set(states.flatMap((state) => 'memberId' in state ? [state.memberId] : []))
    const missing = new Set(states.flatMap((state) => 'apiKeyId' in state && state.key !== undefined && !here.has(state.key.memberId) && !store.hasMember(state.key.memberId) ? [state.key.memberId] : []))
    return (await commands.states([...missing].map((memberId) => `m${memberId}` as const))).filter((state): state is RegistryState => !(state instanceof TollgateError))
  }

  #apply (states: readonly RegistryState[], position: MirrorPosition | undefined): void {
    const passedOver = this.#options.store.apply(states, position)
    this.changes += states.length - passedOver.length
    for (const { apiKeyId, memberId } of passedOver) this.#passOver(new TollgateError('REGISTRY_FOREIGN', `in Redis, key ${apiKeyId} belongs to member ${memberId}, who isn't there`))
  }

  #passOver (error: TollgateError): void {
    this.foreign++
    this.#options.log.error({ error, code: error.code }, 'a member or key in Redis can\'t be read and is passed over: what was last known of it holds')
  }

  #takeNumbers ({ memberIdMax, apiKeyIdMax }: RegistryPosition): void {
    this.#options.store.refuse([{ kind: 'issued', memberId: memberIdMax }, { kind: 'issued', apiKeyId: apiKeyIdMax }])
  }

  async #bringRefusals (): Promise<void> {
    const { store, commands, clock, log } = this.#options
    const { revokedAtMs, rotations, memberIdMax, apiKeyIdMax } = store.refusals()
    let brought = 0
    if (memberIdMax > 0 || apiKeyIdMax > 0) brought += Number((await commands.change(raiseScript, [String(memberIdMax), String(apiKeyIdMax)])).result)
    const revoked = [...revokedAtMs]
    for (let from = 0; from < revoked.length; from += pageCount) {
      brought += Number((await commands.change(revokeScript, revoked.slice(from, from + pageCount).flatMap(([apiKeyId, atMs]) => [String(apiKeyId), String(atMs)]))).result)
    }
    for (const [apiKeyId, ofKey] of rotations) {
      for (const rotation of ofKey) if (await takeRecord(commands, { kind: 'rotated', apiKeyId, ...rotation }, clock.nowMs())) brought++
    }
    if (brought > 0) log.warn({ brought }, 'revocations, rotations and numbers that Redis did not know were brought to it')
  }

  async #dropSurplus (seen: Seen): Promise<void> {
    const { store, folder, clock, log } = this.#options
    const surplus = store.surplus(seen)
    if (surplus.memberIds.length === 0 && surplus.apiKeyIds.length === 0) return
    const file = path.join(folder, `${setAsidePrefix}${clock.nowMs()}.ndjson`)
    await writeTransferFile(file, clock.nowMs(), async (cursor) => store.page(cursor))
    log.warn({ members: surplus.memberIds.length, keys: surplus.apiKeyIds.length, file }, 'members and keys that Redis does not have are removed here; all that was known is in the file, for `tollgate registry import`')
    store.remove(surplus)
    const old = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(setAsidePrefix) && name.endsWith('.ndjson')).sort() : []
    for (const name of old.slice(0, -setAsideFilesMax)) rmSync(path.join(folder, name))
  }
}
