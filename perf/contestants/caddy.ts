// A rival: Caddy as a bare proxy, the Go program with its standard modules.
import { spawn } from 'node:child_process'
import { mkdirSync, openSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { freePorts } from '../../test/helpers/free-ports.ts'
import { buildOnce } from '../harness/build.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { awaitListening, stopProcess } from '../harness/servers.ts'
import type { Server } from '../harness/servers.ts'

/** Connections to the upstream kept for every client, where its default would keep 32; no access log, as is its default. */
export function caddyConfiguration (port: number | string, upstreamPort: number | string): string {
  return `{
	admin off
	auto_https off
	persist_config off
}
http://127.0.0.1:${port} {
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:${upstreamPort} {
		transport http {
			keepalive_idle_conns_per_host 256
		}
	}
}
`
}

export async function startCaddy (context: BenchContext, folder: string, upstreamPort: number): Promise<Server & { readonly port: number }> {
  const built = await buildOnce({
    name: 'caddy', sources: path.join(import.meta.dirname, 'caddy'), script: 'cd "$2" && go build -mod=readonly -trimpath -o "$1/caddy" .', needs: 'Go 1.26 or newer and flock are'
  }, context.say)
  mkdirSync(folder, { recursive: true })
  const [port] = await freePorts(1) as [number]
  writeFileSync(path.join(folder, 'Caddyfile'), caddyConfiguration(port, upstreamPort))
  const log = openSync(path.join(folder, 'caddy.log'), 'w')
  // It keeps its state in folders of the user's unless it is told otherwise.
  const env = { ...process.env, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
  const child = spawn(path.join(built, 'caddy'), ['run', '--config', 'Caddyfile', '--adapter', 'caddyfile'], { cwd: folder, env, stdio: ['ignore', log, log] })
  context.onEnd(() => stopProcess(child))
  return { port, pid: await awaitListening('Caddy', child, port, path.join(folder, 'caddy.log')), stop: () => stopProcess(child) }
}
