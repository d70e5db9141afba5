// Keys that Redis has just refused: until when their buckets are not full, on this machine's clock. What is remembered is
// never later than the truth, so whoever is refused by it would be refused by Redis too.
import { LRUCache } from 'lru-cache'

export class RecentRefusals {
  /** Takes refused without asking. */
  repeated = 0
  readonly #fullNs: LRUCache<number, bigint>

  constructor (keysMax: number) { this.#fullNs = new LRUCache({ max: keysMax }) }

  remember (apiKeyId: number, fullNs: bigint): void { this.#fullNs.set(apiKeyId, fullNs) }

  /** When the bucket will be full at the earliest; undefined when nothing is known of it any more. */
  fullNs (apiKeyId: number, nowNs: bigint): bigint | undefined {
    const fullNs = this.#fullNs.get(apiKeyId)
    if (fullNs === undefined || fullNs > nowNs) return fullNs
    this.#fullNs.delete(apiKeyId)
    return undefined
  }
}
