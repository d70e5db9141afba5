// Copies over a real operator listener: brought once, known by their hash afterwards, and brought again where the peer's differ or are gone.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openFilesForOthers } from '../../src/aggregator/files-for-others.ts'
import { openPeerCopies } from '../../src/aggregator/peer-copies.ts'
import { fileRoutes } from '../../src/compose/file-routes.ts'
import { openOperatorListener } from '../../src/platform/operator-http.ts'
import { silent, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { freePorts } from '../helpers/free-ports.ts'

const token = 'an-operator-token-of-an-aggregator-here'
const name = 'date=2025-11-24/hour=16/20251124T160000000Z-abcdef01.parquet'

async function servePeer (t: TestContext): Promise<{ readonly url: string, readonly folder: string, readonly close: () => void }> {
  const folder = temporaryFolder(t, 'peer')
  const files = openFilesForOthers({ stateFolder: folder, flush: async () => {} })
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
  const peers = openPeerCopies({ ownerName: 'one', stateFolder, peers: [{ url: peer.url, token }], copies: 2, log: silent })
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
    const peers = openPeerCopies({ ownerName: 'one', stateFolder, peers: addresses, copies: 2, log: silent })
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
