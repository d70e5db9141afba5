// Which partition a key belongs to: the same as Java's Kafka client, so that any producer agrees with ours.

const seed = 0x9747b28c
const multiplier = 0x5bd1e995
const shift = 24

/** MurmurHash2, 32 bits, with Kafka's seed. A signed integer, as in Java. */
export function murmur2 (bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.byteLength
  let hash = seed ^ length
  let at = 0
  for (; at + 4 <= length; at += 4) {
    let word = Math.imul(view.getInt32(at, true), multiplier)
    word ^= word >>> shift
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const rest = length - at
  if (rest >= 3) hash ^= view.getUint8(at + 2) << 16
  if (rest >= 2) hash ^= view.getUint8(at + 1) << 8
  if (rest >= 1) hash = Math.imul(hash ^ view.getUint8(at), multiplier)
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return hash ^ (hash >>> 15)
}

const encoder = new TextEncoder()

/** @param key the decimal apiKeyId, or the gatewayId where a request had no key */
export function partitionOf (key: string, partitions: number): number {
  if (!Number.isInteger(partitions) || partitions < 1) throw new RangeError(`not a number of partitions: ${partitions}`)
  return (murmur2(encoder.encode(key)) & 0x7fffffff) % partitions
}
