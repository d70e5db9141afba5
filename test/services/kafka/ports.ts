// Blocks of ten ports for servers that are killed and started again on the same port. They lie below the range from which
// the kernel takes the ports of outgoing connections: there a client that knocks at a dead server's port can reach
// itself. A block belongs to whoever listens on its first port.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import process from 'node:process'

const blockPorts = 10
const firstBlock = 2_800
const blocks = 400

export interface PortBlock {
  /** Held by us; the nine after it are free. */
  readonly base: number
  readonly release: () => void
}

/** @param base a block that was asked for by name; otherwise any that is free */
export async function holdPorts (base?: number): Promise<PortBlock> {
  if (base !== undefined) return { base, release: () => undefined }
  for (let i = 0; i < blocks; i++) {
    const candidate = (firstBlock + (process.pid + i * 7) % blocks) * blockPorts
    if (candidate + blockPorts > ephemeralStart()) continue
    const holder = await listen(candidate)
    if (holder === undefined) continue
    if (await areFree(candidate)) {
      holder.unref()
      return { base: candidate, release: () => { holder.close() } }
    }
    holder.close()
  }
  throw new Error(`no ten free ports between ${firstBlock * blockPorts} and ${(firstBlock + blocks) * blockPorts}`)
}

async function areFree (base: number): Promise<boolean> {
  for (let port = base + 1; port < base + blockPorts; port++) {
    const server = await listen(port)
    if (server === undefined) return false
    await new Promise((resolve) => { server.close(resolve) })
  }
  return true
}

function listen (port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => { resolve(undefined) })
    server.listen(port, '127.0.0.1', () => { resolve(server) })
  })
}

function ephemeralStart (): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0])
  } catch { return 32_768 }
}
