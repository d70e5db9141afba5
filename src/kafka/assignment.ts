// Who gets which partition. Each member has as many as any other, give or take one; what a member has stays with it as
// long as that holds; and what moves goes where a hash of name and partition says, so that a member that comes back gets
// its own again. Only the group's leader computes it.
import { createHash } from 'node:crypto'

export interface MemberClaim {
  readonly memberId: string
  readonly name: string
  /** What it had in the generation that it knows last. */
  readonly owned: readonly number[]
  readonly generation: number
}

/** @returns partitions by member id, ascending; members without any have an empty list */
export function assignPartitions (members: readonly MemberClaim[], partitionCount: number): Map<string, number[]> {
  const sorted = members.toSorted((a, b) => compare(a.name, b.name) || compare(a.memberId, b.memberId))
  const shares = new Map(sorted.map(({ memberId }) => [memberId, [] as number[]]))
  if (sorted.length === 0) return shares
  const owned = validClaims(sorted, partitionCount)
  const shareMin = Math.floor(partitionCount / sorted.length)
  let extras = partitionCount % sorted.length
  const room = new Map<string, number>()
  // The extra ones go to those who have most already.
  for (const { memberId } of sorted.toSorted((a, b) => (owned.get(b.memberId)?.length ?? 0) - (owned.get(a.memberId)?.length ?? 0))) {
    room.set(memberId, shareMin + (extras > 0 ? 1 : 0))
    extras--
  }
  const free = new Set(Array.from({ length: partitionCount }, (_, partition) => partition))
  const give = (memberId: string, partition: number): void => {
    shares.get(memberId)?.push(partition)
    room.set(memberId, (room.get(memberId) ?? 0) - 1)
    free.delete(partition)
  }
  for (const member of sorted) {
    // What another member would rather have is given up first.
    const kept = (owned.get(member.memberId) ?? []).toSorted((a, b) => Number(isAtHome(b, member, sorted)) - Number(isAtHome(a, member, sorted)) || weight(member.name, b) - weight(member.name, a))
    for (const partition of kept.slice(0, room.get(member.memberId))) give(member.memberId, partition)
  }
  const wishes = sorted.flatMap(({ memberId, name }) => [...free].map((partition) => ({ memberId, partition, weight: weight(name, partition) })))
  for (const { memberId, partition } of wishes.sort((a, b) => b.weight - a.weight)) {
    if (free.has(partition) && (room.get(memberId) ?? 0) > 0) give(memberId, partition)
  }
  for (const share of shares.values()) share.sort((a, b) => a - b)
  return shares
}

/** Of two that claim a partition, the one with the newer generation has it. */
function validClaims (members: readonly MemberClaim[], partitionCount: number): Map<string, number[]> {
  const owners = new Map<number, MemberClaim>()
  for (const member of members) {
    for (const partition of member.owned) {
      if (partition < partitionCount && (owners.get(partition)?.generation ?? -1) < member.generation) owners.set(partition, member)
    }
  }
  const claims = new Map<string, number[]>()
  for (const [partition, { memberId }] of owners) claims.set(memberId, [...claims.get(memberId) ?? [], partition])
  return claims
}

function isAtHome (partition: number, { name }: MemberClaim, members: readonly MemberClaim[]): boolean {
  const own = weight(name, partition)
  return members.every((member) => weight(member.name, partition) <= own)
}

function weight (name: string, partition: number): number {
  return createHash('sha256').update(`${name}|${partition}`).digest().readUIntBE(0, 6)
}

function compare (a: string, b: string): number { return a < b ? -1 : a > b ? 1 : 0 }
