// What members of a group tell each other, in the form of Kafka's own consumers, so that its tools can show who has what.
// The name and what a member had stand in the field that Kafka leaves to its users.
import { Reader, Writer } from '@platformatic/kafka'
import type { MemberClaim } from './assignment.ts'

export const protocolType = 'consumer'
export const protocolName = 'tollgate-by-name'
const namesBytesMax = 1_000_000

export type Claim = Omit<MemberClaim, 'memberId'>

export function encodeSubscription (topic: string, claim: Claim): Buffer {
  return Writer.create()
    .appendInt16(0)
    .appendArray([topic], (writer, name) => { writer.appendString(name, false) }, false, false)
    .appendBytes(Buffer.from(JSON.stringify(claim)), false)
    .buffer
}

/** Undefined for a member that isn't one of ours. */
export function parseSubscription (metadata: Buffer): Claim | undefined {
  try {
    const reader = Reader.from(metadata)
    reader.readInt16()
    reader.readArray((entry) => entry.readString(false), false, false)
    const claim = JSON.parse(reader.readBytes(false).subarray(0, namesBytesMax).toString()) as Partial<Claim>
    const { name, owned, generation } = claim
    if (typeof name !== 'string' || !Array.isArray(owned) || !owned.every(Number.isSafeInteger) || !Number.isSafeInteger(generation)) return undefined
    return { name, owned, generation: generation as number }
  } catch { return undefined }
}

export function encodeAssignment (topic: string, partitions: readonly number[]): Buffer {
  return Writer.create()
    .appendInt16(0)
    .appendArray([topic], (writer, name) => {
      writer.appendString(name, false).appendArray([...partitions], (entry, partition) => { entry.appendInt32(partition) }, false, false)
    }, false, false)
    .appendBytes(Buffer.alloc(0), false)
    .buffer
}

export function parseAssignment (assignment: Buffer): number[] {
  if (assignment.length === 0) return []
  const reader = Reader.from(assignment)
  reader.readInt16()
  return reader.readArray((entry) => {
    entry.readString(false)
    return entry.readArray((partitions) => partitions.readInt32(), false, false)
  }, false, false).flat()
}
