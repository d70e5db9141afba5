// Copies over a real operator listener: brought once, known by their hash afterwards, and brought again where the peer's differ or are gone, with a file or with its whole disk.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openFilesForOthers } from '../../src/aggregator/files-for-others.ts'
import { writeFlushRecord } from '../../src/aggregator/flush-record.ts'
import { openPeerCopies } from '../../src/aggregator/peer-copies.ts'
import { fileRoutes } from '../../src/compose/file-routes.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openOperatorListener } from '../../src/platform/operator-http.ts'
import { silent, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { freePorts } from '../helpers/free-ports.ts'

const token = 'an-operator-token-of-an-aggregator-here'
const name = 'date=2025-11-24/hour=16/20251124T160000000Z-abcdef01.parquet'

async function servePeer (t: TestContext, ownerName = 'peer'): Promise<{ readonly url: string, readonly folder: string, readonly close: () => void }> {
  const folder = temporaryFolder(t, 'peer')
  const files = openFilesForOthers({ ownerName, stateFolder: folder, flush: async () => {} })
  const [port = 0] = await freePorts(1)
  const server = await openOperatorListener({ host: '127.0.0.1', port, sources: () => [], routes: () => fileRoutes({ files, tokens: () => [{ name: 'test', token }] }), phase: () => 'serving', log: silent })
  const close = (): void => { server.close(); server.closeAllConnections() }
  t.after(close)
  return { url: `http://127.0.0.1:${port}`, folder, close }
}

test('a file goes to a peer once, and again when its copy is damaged or gone', async (t) => {
  const peer = await servePeer(t)
  const stateFolder = temporaryFolder(t, 'owner')
  const file = path.join(stateFolder, 'partition-3', 'archive', name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, 'events')
  const peers = openPeerCopies({ ownerName: 'one', stateFolder, peers: [{ url: peer.url, token }], copies: 2, monotonicMs: systemClock.monotonicMs, log: silent })
  t.after(() => { peers.close() })
  const copy = path.join(peer.folder, 'copies', 'one', 'partition-3', 'archive', name)
  const bring = async (): Promise<unknown> => [await peers.bring({ partition: 3, files: [file] }), readFileSync(copy, 'utf8'), peers.counts()]
  assert.deepEqual(await bring(), [true, 'events', { brought: 1, failures: 0 }])
  assert.deepEqual(await bring(), [true, 'events', { brought: 1, failures: 0 }], 'it has it')
  writeFileSync(copy, 'evens')
  assert.deepEqual(await bring(), [true, 'events', { brought: 2, failures: 0 }])
  rmSync(copy)
  assert.deepEqual(await bring(), [true, 'events', { brought: 3, failures: 0 }])
})

test('a peer that is away or refuses is a failure, and another peer will do', async (t) => {
  const [away, other] = [await servePeer(t), await servePeer(t)]
  away.close()
  const stateFolder = temporaryFolder(t, 'owner')
  const file = path.join(stateFolder, 'partition-0', 'archive', name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, 'events')
  const bringTo = async (...addresses: readonly { readonly url: string, readonly token: string }[]): Promise<unknown> => {
    const peers = openPeerCopies({ ownerName: 'one', stateFolder, peers: addresses, copies: 2, monotonicMs: systemClock.monotonicMs, log: silent })
    try {
      return [await peers.bring({ partition: 0, files: [file] }), peers.counts()]
    } finally {
      peers.close()
    }
  }
  assert.deepEqual(await bringTo({ url: away.url, token }), [false, { brought: 0, failures: 1 }])
  assert.deepEqual(await bringTo({ url: other.url, token: 'x'.repeat(32) }), [false, { brought: 0, failures: 1 }])
  assert.deepEqual(await bringTo({ url: away.url, token }, { url: other.url, token }), [true, { brought: 1, failures: 1 }])
})

test('a peer that failed is asked after the others for a minute', async (t) => {
  const [first, second] = [await servePeer(t), await servePeer(t)]
  first.close()
  let nowMs = 0
  const stateFolder = temporaryFolder(t, 'owner')
  const folder = path.join(stateFolder, 'partition-0', 'archive', path.dirname(name))
  mkdirSync(folder, { recursive: true })
  const peers = openPeerCopies({ ownerName: 'one', stateFolder, peers: [{ url: first.url, token }, { url: second.url, token }], copies: 2, monotonicMs: () => nowMs, log: silent })
  t.after(() => { peers.close() })
  const bringAt = async (atMs: number): Promise<unknown> => {
    nowMs = atMs
    const file = path.join(folder, `${atMs}.parquet`)
    writeFileSync(file, 'events')
    return [await peers.bring({ partition: 0, files: [file] }), peers.counts()]
  }
  assert.deepEqual(await bringAt(0), [true, { brought: 1, failures: 1 }])
  assert.deepEqual(await bringAt(59_999), [true, { brought: 2, failures: 1 }])
  assert.deepEqual(await bringAt(60_000), [true, { brought: 3, failures: 2 }])
  second.close()
  assert.deepEqual(await bringAt(60_001), [false, { brought: 3, failures: 4 }], 'nobody else is left')
})

/** A flush of one file, and a closed segment, as the partition's owner leaves them. */
function finishedFiles (stateFolder: string, flush: string): string[] {
  const partition = path.join(stateFolder, 'partition-3')
  const [file, segment] = [`date=2025-11-24/hour=16/${flush}.parquet`, `hour=2025-11-24T16-${flush.slice(-8)}.parquet`]
  for (const [folder, each] of [['archive', file], ['aggregator/segments', segment]] as const) {
    mkdirSync(path.dirname(path.join(partition, folder, each)), { recursive: true })
    writeFileSync(path.join(partition, folder, each), `content of ${each}`)
  }
  mkdirSync(path.join(partition, 'archive', 'flush'), { recursive: true })
  writeFlushRecord(path.join(partition, 'archive', 'flush'), {
    schemaVersion: 1, flush, previousFlush: null, files: [{ file, hour: 490_000, rows: 1, bytes: 1, sha256: '' }], archiveStreams: [], streams: [], voids: [], holes: [], deadLetters: [], streamMarks: [], hourMarks: []
  })
  return [`archive/${file}`, `flush/${flush}.json`, `segment/${segment}`]
}

test('what a peer held on a disk that was replaced is brought to it again, and to no peer that may have it', async (t) => {
  const [peer, second] = [await servePeer(t), await servePeer(t)]
  const stateFolder = temporaryFolder(t, 'owner')
  const names = [...finishedFiles(stateFolder, '20251124T160000000Z-abcdef01'), ...finishedFiles(stateFolder, '20251124T170000000Z-abcdef02')].sort()
  const peers = openPeerCopies({ ownerName: 'one', stateFolder, peers: [{ url: peer.url, token }, { url: second.url, token }], copies: 2, monotonicMs: systemClock.monotonicMs, log: silent })
  t.after(() => { peers.close() })
  const held = (folder: string): string[] => openFilesForOthers({ ownerName: 'peer', stateFolder: folder, flush: async () => {} }).listCopies().map(({ kind, name }) => `${kind}/${name}`).sort()
  const repair = async (): Promise<unknown> => [await peers.repair(), peers.counts().brought, held(peer.folder), held(second.folder)]

  assert.deepEqual(await repair(), [4, 6, names, []], 'two flushes and two segments, of six files')
  assert.deepEqual(await repair(), [0, 6, names, []], 'nothing is missing')
  rmSync(path.join(peer.folder, 'copies'), { recursive: true })
  assert.deepEqual(await repair(), [4, 12, names, []])
  peer.close()
  rmSync(path.join(peer.folder, 'copies'), { recursive: true })
  assert.deepEqual(await repair(), [0, 12, [], []], 'a peer that can\'t be asked may have them')
})

test('files of an aggregator whose own disk was replaced are brought to it as copies by the peer that kept them', async (t) => {
  const [owner, keeper] = [await servePeer(t, 'one'), await servePeer(t, 'two')]
  const names = finishedFiles(path.join(keeper.folder, 'copies', 'one'), '20251124T160000000Z-abcdef01')
  const peers = openPeerCopies({ ownerName: 'two', stateFolder: keeper.folder, peers: [{ url: owner.url, token }], copies: 2, monotonicMs: systemClock.monotonicMs, log: silent })
  t.after(() => { peers.close() })
  const files = openFilesForOthers({ ownerName: 'one', stateFolder: owner.folder, flush: async () => {} })
  assert.deepEqual([await peers.repair(), await peers.repair(), files.listCopies().map(({ owner: of, kind, name }) => `${of} ${kind}/${name}`).sort()], [2, 0, names.map((each) => `one ${each}`).sort()])
  assert.equal([...files.manifest(3)].length, 1, 'verify finds it there')
  rmSync(path.join(owner.folder, 'copies'), { recursive: true })
  finishedFiles(owner.folder, '20251124T160000000Z-abcdef01')
  assert.equal(await peers.repair(), 0, 'what it has as its own it needs no copy of')
})
