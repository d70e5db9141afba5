// Ports that nobody listens on now, for a program that must be told its ports and may be killed and started again on them.
// They lie below the range from which the kernel takes the ports of outgoing connections, one of which could hold a port
// while its program is down. Each process takes blocks of its own: a block belongs to whoever listens on its first port.
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import process from 'node:process'

const firstPort = 10_000
const blockPorts = 50
const blocks = 260

let nextBlock = process.pid
const left: number[] = []

export async function freePorts (count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = left.shift()
    if (port === undefined) { await takeBlock(); continue }
    const server = await listen(port)
    if (server === undefined) continue
    await new Promise((resolve) => { server.close(resolve) })
    ports.push(port)
  }
  return ports
}

async function takeBlock (): Promise<void> {
  for (let i = 0; i < blocks; i++) {
    const base = firstPort + (nextBlock++ % blocks) * blockPorts
    const holder = await listen(base)
    if (holder === undefined) continue
    // Held until the process ends.
    holder.unref()
    for (let port = base + 1; port < base + blockPorts; port++) left.push(port)
    return
  }
  throw new Error(`no block of ${blockPorts} ports between ${firstPort} and ${firstPort + blocks * blockPorts} is free`)
}

function listen (port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => { resolve(undefined) })
    server.listen(port, '127.0.0.1', () => { resolve(server) })
  })
}
