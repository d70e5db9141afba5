// The yardstick: nginx as a bare proxy.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePorts } from '../../test/helpers/free-ports.ts'
import { awaitListening, stopProcess } from '../harness/servers.ts'
import type { Server } from '../harness/servers.ts'

/** One worker, as one core is what is compared; connections to the upstream kept; the access log on, as everyone runs it. @param extra directives of `http` */
export function nginxConfiguration (port: number | string, upstreamPort: number | string, extra = ''): string {
  return `daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events { worker_connections 4096; }
http {
  access_log access.log combined;
  client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
  keepalive_requests 1000000000;${extra === '' ? '' : `\n  ${extra}`}
  upstream api { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`
}

export async function startNginx (folder: string, upstreamPort: number, extra = ''): Promise<Server & { readonly port: number }> {
  mkdirSync(folder, { recursive: true })
  const [port] = await freePorts(1) as [number]
  writeFileSync(path.join(folder, 'nginx.conf'), nginxConfiguration(port, upstreamPort, extra))
  const child = spawn('nginx', ['-p', folder, '-c', 'nginx.conf', '-e', 'error.log'], { stdio: ['ignore', 'ignore', 'inherit'] })
  const pid = await awaitListening('nginx', child, port, path.join(folder, 'error.log'))
  return { port, pid, stop: () => stopProcess(child) }
}
