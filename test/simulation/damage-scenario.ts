// A journal with a past is damaged while nobody runs: bytes flipped or zeroed, a file cut short, lost, or its header spoiled.
// Whatever can still be read is counted, whatever can't is declared void or reported as a gap, and nothing else happens.
import assert from 'node:assert/strict'
import path from 'node:path'
import { lastSeqOf, readFrameHeader } from '../../src/journal/frame.ts'
import type { FrameHeader } from '../../src/journal/frame.ts'
import { parseName } from '../../src/journal/segment.ts'
import { PowerCut } from '../helpers/simulated-disk.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { JournalMachine, folder } from './journal-machine.ts'
import { ModelAggregator } from './model-aggregator.ts'

const segmentBytes = 128 * 1024
const blockBytes = 512

export type DamageKind = 'flip' | 'zero' | 'cut' | 'lose' | 'header'
export interface DamageOutcome { readonly kind: DamageKind, readonly voids: number, readonly lost: number, readonly gaps: number }

export interface PlacedFrame { readonly header: FrameHeader, readonly file: string, readonly from: number, readonly to: number }
export interface Damage { readonly kind: DamageKind, readonly file: string, readonly from: number, readonly to: number, readonly isLastFile: boolean, readonly isOldestFile: boolean }

class DamageRun {
  readonly machine: JournalMachine
  readonly aggregator = new ModelAggregator()
  readonly random: () => number

  constructor (seed: number) {
    this.random = seededRandom(seed)
    this.machine = new JournalMachine(this.random, {
      folder, gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes, bytesMax: 24 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
      refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000
    })
  }

  /** Some lives, ended well or by a power cut; the last one well, so that the log's end is known to be no torn frame. */
  live (): void {
    const { machine, random } = this
    const lives = 1 + Math.floor(random() * 4)
    for (let life = 1; life <= lives; life++) {
      machine.boot()
      for (let round = Math.floor(random() * 60); round >= 0; round--) this.#round(random() < 0.1)
      for (let round = 0; round < 10; round++) this.#round(false, false)
      if (life === lives || random() < 0.5) machine.journal?.close()
      else machine.disk.powerCut()
      machine.die()
      this.aggregator.die()
    }
  }

  #round (isAggregated: boolean, hasNew = true): void {
    const { machine } = this
    for (const worker of machine.workers) {
      if (hasNew) machine.begin(worker)
      machine.finish(worker)
      machine.runWorker(worker)
    }
    machine.journal?.turn()
    machine.clock.ms += 100
    machine.clock.wallMs += 100
    if (isAggregated) this.#aggregate()
  }

  #aggregate (): void {
    this.aggregator.take(this.machine.usageLog?.read(0, 32 * 1024) ?? [])
    this.aggregator.flush()
    this.machine.usageLog?.reportProgress(0, this.aggregator.progress())
  }

  /** Starts after the damage, perhaps several times because the power goes meanwhile, and reads all. */
  recover (): void {
    const { machine, random } = this
    for (let cuts = Math.floor(random() * 3); cuts > 0; cuts--) {
      machine.disk.cutIn = 1 + Math.floor(random() * 12)
      try { machine.boot() } catch (error) { assert.ok(error instanceof PowerCut, String(error)) }
      machine.die()
      if (random() < 0.5) machine.disk.powerCut()
      else machine.disk.kill()
    }
    machine.disk.cutIn = Infinity
    machine.boot()
    for (let reads = 0, isNew = true; isNew || reads < 2; reads++) {
      const items = machine.usageLog?.read(0, 64 * 1024) ?? []
      isNew = items.length > 0
      this.aggregator.take(items)
    }
  }
}

export function framesOf (machine: JournalMachine): PlacedFrame[] {
  const frames: PlacedFrame[] = []
  for (const name of [...machine.disk.names(folder)].sort()) {
    const parsed = parseName(name)
    if (parsed?.kind !== 'segment') continue
    const file = path.join(folder, name)
    const content = machine.disk.content(file)
    for (let offset = blockBytes; offset < content.length;) {
      const header = readFrameHeader(content.subarray(offset), { segment: parsed.segment, offset })
      if (header === undefined) break
      frames.push({ header, file, from: offset, to: offset + header.headerBytes + header.bodyBytes })
      offset += header.spanBytes
    }
  }
  return frames
}

export function drawDamage (random: () => number, frames: readonly PlacedFrame[]): Damage {
  const kind = (['flip', 'flip', 'zero', 'cut', 'lose', 'header'] as const)[Math.floor(random() * 6)] ?? 'flip'
  // The last frame of all closes the journal. Without it the log would only seem to end earlier.
  const frame = frames[Math.floor(random() * (frames.length - 1))] as PlacedFrame
  const { file } = frame
  const inFile = frames.filter((other) => other.file === file)
  const isLastFile = file === frames.at(-1)?.file
  const isOldestFile = file === frames[0]?.file
  const place = { file, isLastFile, isOldestFile }
  const end = (isLastFile ? inFile.at(-2) ?? frame : inFile.at(-1) as PlacedFrame).to
  switch (kind) {
    case 'flip': {
      const from = frame.from + Math.floor(random() * (frame.to - frame.from))
      return { ...place, kind, from, to: Math.min(from + 1 + Math.floor(random() * 8), frame.to) }
    }
    case 'zero': return { ...place, kind, from: frame.from, to: Math.min(frame.from + Math.floor(random() * 8 * blockBytes), end) }
    case 'cut': return { ...place, kind, from: Math.floor(random() * (inFile.at(-1) as PlacedFrame).to), to: Infinity }
    case 'lose': return isLastFile ? { ...place, kind: 'flip', from: frame.from, to: frame.from + 1 } : { ...place, kind, from: 0, to: Infinity }
    case 'header': return { ...place, kind, from: Math.floor(random() * 52), to: 52 }
  }
}

export function apply (machine: JournalMachine, { kind, file, from, to }: Damage): void {
  switch (kind) {
    case 'flip': case 'header': machine.disk.damage(file, (data) => { for (let at = from; at < to; at++) data[at] = (data[at] as number) ^ 0x5a; return data }); break
    case 'zero': machine.disk.damage(file, (data) => data.fill(0, from, to)); break
    case 'cut': machine.disk.damage(file, (data) => data.subarray(0, from)); break
    case 'lose': machine.disk.lose(file); break
  }
}

/** @throws AssertionError when a loss was silent, or something was declared lost that is there */
export function run (seed: number): DamageOutcome {
  const world = new DamageRun(seed)
  world.live()
  const { machine, aggregator } = world
  const frames = framesOf(machine)
  const before = new Map<string, number>(aggregatorSeqs(aggregator))
  const damage = drawDamage(world.random, frames)
  apply(machine, damage)
  aggregator.isWatermarkLost = true
  world.recover()
  const isHit = (frame: PlacedFrame): boolean => frame.file === damage.file && frame.from < damage.to && frame.to > damage.from
  const lostRecords = frames.filter((frame) => frame.header.type === 'events' && isHit(frame) && lastSeqOf(frame.header) > (before.get(frame.header.streamId) ?? 0))
  check(world, { frames, isHit, damage, lostRecords: lostRecords.length })
  return { kind: damage.kind, voids: aggregator.voids.length, lost: lostRecords.length, gaps: aggregator.gaps.length }
}

function aggregatorSeqs (aggregator: ModelAggregator): [string, number][] {
  return aggregator.progress().map(({ streamId, appliedSeq }) => [streamId, appliedSeq])
}

interface Checked { readonly frames: readonly PlacedFrame[], readonly isHit: (frame: PlacedFrame) => boolean, readonly damage: Damage, readonly lostRecords: number }

function check ({ machine, aggregator }: DamageRun, { frames, isHit, damage, lostRecords }: Checked): void {
  const isVoid = (streamId: string, seq: number): boolean => aggregator.voids.some((item) => item.streamId === streamId && seq > item.prevSeq && seq <= item.lastSeq)
  // What the last frames of a file that is cut, or the oldest file held, nobody can say exactly.
  const isUnknown = (damage.kind === 'cut' && damage.isLastFile) || (damage.kind === 'lose' && damage.isOldestFile)
  // Only a later record of the same stream says exactly which ones are missing before it.
  const isKnown = (streamId: string, lastSeq: number): boolean => frames.some((frame) => frame.header.type === 'events' && frame.header.streamId === streamId && frame.header.firstSeq > lastSeq && !isHit(frame))
  const isReported = aggregator.voids.length > 0 || aggregator.gaps.length > 0
  for (const id of aggregator.counted.keys()) assert.equal(aggregator.counted.get(id), 1, `event ${id} was counted twice`)
  for (const frame of frames) {
    if (frame.header.type !== 'events') continue
    for (let seq = frame.header.firstSeq; seq <= lastSeqOf(frame.header); seq++) {
      const { streamId } = frame.header
      const isCounted = aggregator.seqs.has(`${streamId}/${seq}`)
      if (isCounted) assert.ok(!isVoid(streamId, seq), `${streamId} ${seq} is there and was declared void`)
      else if (!isHit(frame) && !isUnknown) assert.fail(`${streamId} ${seq} was not damaged and is not counted`)
      else if (!isUnknown) assert.ok(isKnown(streamId, seq) ? isVoid(streamId, seq) : isReported, `${streamId} ${seq} was lost silently`)
    }
  }
  // The oldest file looks as if it had been recycled, but to those who follow a stream out of it.
  const isLost = (frame: PlacedFrame): boolean => frame.file === damage.file && frame.header.type === 'events'
  const hasLater = frames.some((frame) => frame.file !== damage.file && frame.header.type === 'events' && frames.some((other) => isLost(other) && other.header.streamId === frame.header.streamId))
  if (isUnknown && lostRecords > 0 && (damage.kind === 'cut' || hasLater)) assert.ok(isReported, 'events were lost and nobody says so')
  if (!isUnknown) assert.deepEqual(aggregator.gaps, [])
  const quarantined = machine.disk.names(path.join(folder, 'quarantine'))
  if (aggregator.voids.length > 0) assert.ok(quarantined.length > 0, 'a void without anything in quarantine')
}
