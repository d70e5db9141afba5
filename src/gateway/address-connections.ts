// Connections by client address. The server under the gateway tells an address when a connection opens and not when it
// closes, so the kernel is asked who is connected, once a second while there are many connections: whoever has too many
// then gets no more until the next count. Between two counts an address can open as many again as it may have, no more.
import { readFile } from 'node:fs/promises'
import { addressBlock, addressText } from './client-address.ts'

/** Where Linux lists the TCP connections of this network name space. */
const tableFiles = ['/proc/net/tcp', '/proc/net/tcp6']
/** Addresses that are told apart between two counts; the rest is bound by the total alone. */
const addressesMax = 65_536

export class AddressConnections {
  #openedSince = new Map<string, number>()
  /** Before the count that is under way: it tells of them, once it is there. */
  #openedBefore: ReadonlyMap<string, number> = new Map()
  #crowded: ReadonlySet<string> = new Set()

  /** A connection from `address` opens, which may have `connectionsMax`. @returns false: it is one too many */
  open (address: string, connectionsMax: number): boolean {
    const block = addressBlock(address)
    if (this.#crowded.has(block)) return false
    const opened = this.#openedSince.get(block) ?? 0
    if (opened === 0 && this.#openedSince.size >= addressesMax) return true
    if (opened + (this.#openedBefore.get(block) ?? 0) >= connectionsMax) return false
    this.#openedSince.set(block, opened + 1)
    return true
  }

  /** Nobody can have too many. */
  reset (): void {
    this.#openedSince.clear()
    this.#openedBefore = new Map()
    this.#crowded = new Set()
  }

  /** Takes over who is connected to `port` now. */
  async count (port: number, connectionsMax: number): Promise<void> {
    this.#openedBefore = this.#openedSince
    this.#openedSince = new Map()
    const tables = await Promise.all(tableFiles.map((file) => readTable(file)))
    const counts = new Map<string, number>()
    for (const table of tables) countConnections(table, port, counts)
    this.#openedBefore = new Map()
    this.#crowded = new Set([...counts].filter(([, count]) => count >= connectionsMax).map(([block]) => block))
  }
}

/** A kernel without IPv6 has one table only. */
async function readTable (file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** Local address, local port, remote address, state: 01 is established, 08 is left by the client and not closed by us. */
const line = /: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]+):[0-9A-F]{4} (?:01|08) /g

/** Adds the connections to `port` up by the block of their remote address. */
export function countConnections (table: string, port: number, counts: Map<string, number>): void {
  const portText = port.toString(16).toUpperCase().padStart(4, '0')
  const byHex = new Map<string, number>()
  for (const [, local, remote = ''] of table.matchAll(line)) {
    if (local === portText) byHex.set(remote, (byHex.get(remote) ?? 0) + 1)
  }
  for (const [hex, count] of byHex) {
    const block = addressBlock(addressText(bytesOf(hex)))
    counts.set(block, (counts.get(block) ?? 0) + count)
  }
}

/** The kernel prints addresses in words of 32 bits as the machine holds them: little-endian on all that we run on. */
function bytesOf (hex: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(hex, 'hex'))
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse()
  return bytes
}
