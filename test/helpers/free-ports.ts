// Ports that nobody listens on now, for a program that must be told its ports. All are held open together while they are
// chosen, so that none is given twice.
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'

export async function freePorts (count: number): Promise<number[]> {
  const servers: Server[] = []
  for (let i = 0; i < count; i++) {
    const server = createServer()
    await new Promise<void>((resolve, reject) => { server.once('error', reject); server.listen(0, '127.0.0.1', resolve) })
    servers.push(server)
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => { server.close(resolve) })))
  return ports
}
