// Membership in a group that deals out the partitions of one topic. It is joined again for ever; whoever wasn't heard of
// for the session's time has no partitions any more, by its own clock too and at once. Two can believe for a moment that
// they own a partition all the same (a process that was stopped): what they do with it must be fenced.
import { heartbeatV4, joinGroupV7, leaveGroupV4, ResponseError, syncGroupV5 } from '@platformatic/kafka'
import { TollgateError } from '../domain/errors.ts'
import { every, sleepMs, systemClock } from '../platform/clock.ts'
import { assignPartitions } from './assignment.ts'
import { requestTimeoutMs } from './cluster.ts'
import type { Cluster } from './cluster.ts'
import { RequestFailure, tollgateErrorOf } from './failure.ts'
import { encodeAssignment, encodeSubscription, parseAssignment, parseSubscription, protocolName, protocolType } from './group-protocol.ts'
import type { GroupMembership, GroupOptions } from './port.ts'

const sessionTimeoutMsDefault = 10_000
const heartbeatMsDefault = 2_000
const backoffMsMin = 50
const backoffMsMax = 2_000
/** A group that was just made, or whose coordinator moves, has none for a moment: nothing to tell anybody. */
const quietMs = 5_000
const leaveTimeoutMs = 2_000
/** The group's leader looks for new partitions each so many heartbeats. */
const partitionsCheckHeartbeats = 5

type Joined = Awaited<ReturnType<typeof joinGroupV7.api.async>>

export function joinGroup (cluster: Cluster, options: GroupOptions): GroupMembership {
  const member = new Member(cluster, options)
  // What isn't a failed request is a mistake in this program, and ends it.
  void member.run()
  return { isMember: () => member.isMember, leave: () => member.leave() }
}

class Member {
  readonly #cluster: Cluster
  readonly #options: GroupOptions
  readonly #sessionTimeoutMs: number
  readonly #heartbeatMs: number
  readonly #stop = new AbortController()
  #memberId = ''
  #generation = -1
  #owned: readonly number[] = []
  #isAssigned = false
  /** When the coordinator answered last. */
  #heardMs = 0
  #failingSinceMs: number | undefined
  /** Of the topic, when this member dealt it out as the group's leader. */
  #dealtPartitions: number | undefined

  constructor (cluster: Cluster, options: GroupOptions) {
    const { sessionTimeoutMs = sessionTimeoutMsDefault, heartbeatMs = heartbeatMsDefault } = options
    if (sessionTimeoutMs < 4 * heartbeatMs) throw new RangeError(`a session of ${sessionTimeoutMs} ms needs heartbeats each ${sessionTimeoutMs / 4} ms at least, not ${heartbeatMs}`)
    this.#cluster = cluster
    this.#options = options
    this.#sessionTimeoutMs = sessionTimeoutMs
    this.#heartbeatMs = heartbeatMs
  }

  get isMember (): boolean { return this.#isAssigned && !this.#isExpired }

  get #isExpired (): boolean { return systemClock.monotonicMs() - this.#heardMs > this.#sessionTimeoutMs }

  async run (): Promise<void> {
    const watch = every(this.#heartbeatMs / 2, () => { if (this.#isAssigned && this.#isExpired) this.#expire() })
    try {
      for (let backoffMs = backoffMsMin; !this.#stop.signal.aborted; backoffMs = Math.min(backoffMs * 2, backoffMsMax)) {
        try {
          await this.#join()
          backoffMs = backoffMsMin
          await this.#beat()
        } catch (error) {
          if (!(error instanceof RequestFailure)) throw error
          this.#cluster.forget()
          this.#forgetMembership(error)
          this.#tell(error)
          if (error.kind !== 'member') await sleepMs(backoffMs, this.#stop.signal).catch(() => undefined)
        }
      }
    } finally { watch.cancel() }
  }

  async leave (): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    this.#isAssigned = false
    if (this.#memberId !== '') await this.#ask((coordinator) => this.#cluster.ask(coordinator, (connection) => leaveGroupV4.api.async(connection, this.#options.groupId, [{ memberId: this.#memberId, groupInstanceId: null }]), leaveTimeoutMs)).catch(() => undefined)
    this.#cluster.close()
  }

  /** Resolves with the assignment of a new generation in place. */
  async #join (): Promise<void> {
    const { groupId, topic, memberName } = this.#options
    // Nobody has to finish anything first, so members come back with their next heartbeat.
    const rebalanceTimeoutMs = 3 * this.#heartbeatMs
    const claim = encodeSubscription(topic, { name: memberName, owned: this.#isAssigned ? this.#owned : [], generation: this.#generation })
    const joined = await this.#ask((coordinator) => this.#cluster.ask(coordinator, (connection) =>
      joinGroupV7.api.async(connection, groupId, this.#sessionTimeoutMs, rebalanceTimeoutMs, this.#memberId, null, protocolType, [{ name: protocolName, metadata: claim }], null), rebalanceTimeoutMs + this.#sessionTimeoutMs + requestTimeoutMs))
    this.#memberId = joined.memberId
    const assignments = joined.leader === joined.memberId ? await this.#deal(joined) : []
    const { assignment } = await this.#ask((coordinator) => this.#cluster.ask(coordinator, (connection) =>
      syncGroupV5.api.async(connection, groupId, joined.generationId, joined.memberId, null, protocolType, protocolName, assignments), rebalanceTimeoutMs + requestTimeoutMs))
    if (this.#stop.signal.aborted) return
    this.#generation = joined.generationId
    this.#failingSinceMs = undefined
    this.#assign(parseAssignment(assignment))
  }

  async #deal ({ members }: Joined): Promise<{ memberId: string, assignment: Buffer }[]> {
    this.#dealtPartitions = await this.#partitionCount()
    const claims = members.map(({ memberId, metadata }) => ({ memberId, ...parseSubscription(metadata) ?? { name: memberId, owned: [], generation: -1 } }))
    return [...assignPartitions(claims, this.#dealtPartitions)].map(([memberId, partitions]) => ({ memberId, assignment: encodeAssignment(this.#options.topic, partitions) }))
  }

  /** Until the group's generation changes: then the next join goes on with the same membership. */
  async #beat (): Promise<void> {
    for (let beats = 1; ; beats++) {
      await sleepMs(this.#heartbeatMs, this.#stop.signal).catch(() => undefined)
      // A session that has run out by our own clock is joined anew, also where the coordinator hasn't noticed.
      if (this.#stop.signal.aborted || !this.#isAssigned) return
      try {
        await this.#ask((coordinator) => this.#cluster.ask(coordinator, (connection) => heartbeatV4.api.async(connection, this.#options.groupId, this.#generation, this.#memberId, null), this.#heartbeatMs))
        if (this.#dealtPartitions !== undefined && beats % partitionsCheckHeartbeats === 0) {
          this.#cluster.forget()
          if (await this.#partitionCount() !== this.#dealtPartitions) return
        }
      } catch (error) {
        // A coordinator that moves or is away isn't the end of the membership: the session's time is.
        if (!(error instanceof RequestFailure) || error.kind !== 'again' || this.#isExpired) throw error
        this.#cluster.forget()
      }
    }
  }

  async #partitionCount (): Promise<number> {
    const topic = await this.#cluster.topic(this.#options.topic)
    if (topic === undefined) throw new RequestFailure('again', `the brokers know no topic ${this.#options.topic}`, { brokerCode: 'UNKNOWN_TOPIC_OR_PARTITION' })
    return topic.partitions.length
  }

  async #ask<Response> (request: (coordinator: number) => Promise<Response>): Promise<Response> {
    const response = await request(await this.#cluster.coordinator('group', this.#options.groupId))
    this.#heardMs = systemClock.monotonicMs()
    return response
  }

  #forgetMembership (failure: RequestFailure): void {
    this.#dealtPartitions = undefined
    if (failure.brokerCode === 'MEMBER_ID_REQUIRED') {
      this.#memberId = memberIdIn(failure) ?? ''
      return
    }
    if (failure.brokerCode === 'REBALANCE_IN_PROGRESS') {
      this.#heardMs = systemClock.monotonicMs()
      return
    }
    if (failure.kind === 'member') this.#memberId = ''
    if (failure.kind !== 'again' || this.#isExpired) this.#lose()
  }

  #assign (partitions: readonly number[]): void {
    const isSame = this.#isAssigned && partitions.length === this.#owned.length && partitions.every((partition, index) => partition === this.#owned[index])
    this.#owned = partitions
    this.#isAssigned = true
    if (!isSame) this.#options.onAssigned(partitions)
  }

  #tell (failure: RequestFailure): void {
    if (failure.kind === 'member' || this.#stop.signal.aborted) return
    this.#failingSinceMs ??= systemClock.monotonicMs()
    if (failure.kind === 'again' && systemClock.monotonicMs() - this.#failingSinceMs < quietMs) return
    this.#options.onFailure(tollgateErrorOf(failure, `in the group ${this.#options.groupId}`, `Read on the group ${this.#options.groupId} and Describe on the topic ${this.#options.topic}`) as Error)
  }

  #expire (): void {
    this.#lose()
    this.#options.onFailure(new TollgateError('KAFKA_UNREACHABLE', `in the group ${this.#options.groupId}: no answer of its coordinator for ${this.#sessionTimeoutMs} ms, the membership is lost`))
  }

  #lose (): void {
    if (!this.#isAssigned) return
    this.#isAssigned = false
    this.#owned = []
    if (!this.#stop.signal.aborted) this.#options.onAssigned([])
  }
}

/** A first join is answered with the id to come back with. */
function memberIdIn ({ cause }: RequestFailure): string | undefined {
  const response = cause instanceof ResponseError ? cause['response'] as { readonly memberId?: string } | undefined : undefined
  return response?.memberId
}
