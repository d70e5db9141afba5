import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { AddressConnections, countConnections } from '../../../src/gateway/address-connections.ts'
import { eventually } from '../../helpers/eventually.ts'

const table4 = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 070200C0:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
  12: 0100007F:1F90 070200C0:C002 08 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
10003: 0100007F:1F90 070200C0:C003 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0
   4: 0100007F:1F91 070200C0:C004 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1
`
const table6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F90 B80D0120020001000000000001000000:C001 01 00000000:00000000 00:00000000 00000000     0        0 5
   1: 00000000000000000000000001000000:1F90 B80D0120020001000000000002000000:C001 01 00000000:00000000 00:00000000 00000000     0        0 6
   2: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF0000070200C0:C001 01 00000000:00000000 00:00000000 00000000     0        0 7
`

test('the kernel\'s table is read: connections that are open, to our port, by address', () => {
  const counts = new Map<string, number>()
  countConnections(table4, 8080, counts)
  countConnections(table6, 8080, counts)
  assert.deepEqual([...counts], [['192.0.2.7', 3], ['2001:db8:1:2::', 2]])
})

test('between two counts an address opens as many as it may have, others are free', () => {
  const connections = new AddressConnections()
  assert.deepEqual([1, 2, 3, 4].map(() => connections.open('192.0.2.7', 3)), [true, true, true, false])
  assert.ok(connections.open('192.0.2.8', 3))
  connections.reset()
  assert.ok(connections.open('192.0.2.7', 3))
})

test('while the kernel is asked, what was opened before still counts', async () => {
  const connections = new AddressConnections()
  assert.deepEqual([connections.open('192.0.2.7', 3), connections.open('192.0.2.7', 3)], [true, true])
  const counted = connections.count(1, 3)
  assert.deepEqual([1, 2].map(() => connections.open('192.0.2.7', 3)), [true, false])
  await counted
  assert.deepEqual([1, 2, 3].map(() => connections.open('192.0.2.7', 3)), [true, true, false])
})

test('whoever has too many gets no more until the next count says that some are gone', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  const clients = Array.from({ length: 3 }, () => connect({ port, host: '127.0.0.1' }))
  t.after(() => { server.close(); for (const client of clients) client.destroy() })
  server.on('connection', (socket) => { socket.on('error', () => {}); socket.resume() })
  const connections = new AddressConnections()
  await eventually('three are counted', async () => { await connections.count(port, 3); return !connections.open('127.0.0.1', 3) })
  assert.ok(connections.open('127.0.0.2', 3))
  clients[0]?.destroy()
  await eventually('one is gone', async () => { await connections.count(port, 3); return connections.open('127.0.0.1', 3) })
})
