// The partitions that the group has dealt to this aggregator: each has an owner of its own, and they share the memory.
import { TollgateError } from '../domain/errors.ts'
import type { Health } from '../platform/thread.ts'
import type { AggregatorCopy } from './backup.ts'
import { partitionFolder } from './cluster-folders.ts'
import type { GivenUp, GivingUp } from './give-up.ts'
import { PartitionOwner } from './owner.ts'
import type { OwnerParts, OwnerSettings, PartitionStatus } from './owner.ts'
import { SharedMemory } from './shared-memory.ts'
import type { Keep } from './take-over.ts'

export interface ClusterOwnersParts extends Omit<OwnerParts, 'partition' | 'settings' | 'shared'> {
  readonly settings: Omit<OwnerSettings, 'memoryBytesMax'>
  /** Of all partitions together; a partition whose turn it is gets no less than its least. */
  readonly memoryBytesMax: number
}

/** What a backup takes of one partition. */
export interface PartitionCopy { readonly partition: number, readonly copy: AggregatorCopy }

/** Less, and DuckDB can't hold what one batch needs. */
export const partitionMemoryBytesMin = 64 * 2 ** 20

export class ClusterOwners {
  readonly #parts: ClusterOwnersParts
  readonly #owners = new Map<number, PartitionOwner>()
  /** Owners that are closing: a partition that comes back waits for its own. */
  readonly #closing = new Map<number, Promise<void>>()
  readonly #settings: OwnerSettings
  readonly #shared: SharedMemory
  #wanted: ReadonlySet<number> = new Set()
  #memoryBytes: number

  constructor (parts: ClusterOwnersParts) {
    this.#parts = parts
    this.#memoryBytes = parts.memoryBytesMax
    this.#shared = new SharedMemory(parts.memoryBytesMax)
    const memoryBytes = (): number => this.#memoryBytes
    this.#settings = { ...parts.settings, get memoryBytesMax () { return memoryBytes() } }
  }

  /** What the group says. Owners of other partitions are closed as they are: whoever has them now fences them anyway. */
  assign (partitions: readonly number[]): void {
    this.#wanted = new Set(partitions)
    for (const [partition, owner] of this.#owners) if (!this.#wanted.has(partition)) this.#close(partition, owner)
    this.#share()
    for (const partition of this.#wanted) if (!this.#owners.has(partition) && !this.#closing.has(partition)) this.#open(partition)
  }

  health (): Health {
    const reasons = [...this.#owners.values()].flatMap((owner) => owner.health().reasons)
    return { isReady: reasons.length === 0, reasons }
  }

  status (): PartitionStatus[] { return [...this.#owners.values()].map((owner) => owner.status()).sort((a, b) => a.partition - b.partition) }

  /** Partitions that wait for their turn at the shared memory. */
  get inLine (): number { return this.#shared.waiting }

  owners (): readonly PartitionOwner[] { return [...this.#owners.values()] }

  /** @throws TollgateError ARGUMENT_INVALID */
  async recover (partition: number, keep: Keep): Promise<void> { await this.#ownerOf(partition).recover(keep) }

  /** What is missing of a stream is given up. @throws TollgateError ARGUMENT_INVALID */
  async giveUp (partition: number, given: GivingUp): Promise<GivenUp> { return await this.#ownerOf(partition).giveUp(given) }

  /** Everything counted of the partition is in the archive when it resolves; nothing to do for one that isn't ours now. */
  async flush (partition: number): Promise<void> { if (this.#owners.has(partition)) await this.#ownerOf(partition).flush() }

  /** One after the other, each between two steps of its own. A partition that is not owned just now has its newest database elsewhere, or soon. */
  async backup (folder: string): Promise<PartitionCopy[]> {
    const copies: PartitionCopy[] = []
    for (const [partition, { ownership }] of this.#owners) {
      if (ownership !== undefined) copies.push({ partition, copy: await ownership.copyTo(partitionFolder(folder, partition)) })
    }
    return copies
  }

  /** Archives, publishes and closes everything. */
  async stop (): Promise<void> {
    this.#wanted = new Set()
    const owners = [...this.#owners.values()]
    this.#owners.clear()
    await Promise.all([...owners.map(async (owner) => { await owner.close({ isDrained: true }) }), ...this.#closing.values()])
  }

  #ownerOf (partition: number): PartitionOwner {
    const owner = this.#owners.get(partition)
    if (owner === undefined) throw new TollgateError('ARGUMENT_INVALID', `partition ${partition} was not dealt to this aggregator`)
    return owner
  }

  #open (partition: number): void {
    const owner = new PartitionOwner({ ...this.#parts, settings: this.#settings, shared: this.#shared, partition })
    this.#owners.set(partition, owner)
    owner.start()
  }

  #close (partition: number, owner: PartitionOwner): void {
    this.#owners.delete(partition)
    const closing = owner.close().catch((error: unknown) => { this.#parts.log.error({ error, partition }, 'a partition could not be closed in order') }).then(() => {
      this.#closing.delete(partition)
      if (this.#wanted.has(partition) && !this.#owners.has(partition)) this.#open(partition)
    })
    this.#closing.set(partition, closing)
  }

  #share (): void {
    const bytes = Math.max(partitionMemoryBytesMin, this.#shared.bytesOf(this.#wanted.size))
    if (bytes === this.#memoryBytes) return
    this.#memoryBytes = bytes
    for (const owner of this.#owners.values()) {
      owner.setMemory(bytes).catch((error: unknown) => { this.#parts.log.warn({ error, partition: owner.partition, bytes }, 'the share of memory could not be changed') })
    }
  }
}
