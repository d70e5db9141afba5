// The contestants of the rivals scenario, started side by side on one upstream.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { firstLineOf } from '../harness/machine.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { meteredPath } from './answer.ts'
import { caddyConfiguration, startCaddy } from './caddy.ts'
import type { Contestant } from './contestant.ts'
import { meteredText, names, noBooks, proxiesText, startProxies, startUpstream, upstreamText } from './line-up.ts'
import type { LineUp } from './line-up.ts'
import { nginxConfiguration } from './nginx.ts'
import { springSources, startMeteredSpring, startSpring } from './spring.ts'
import type { MeteredSpring } from './spring.ts'
import { startTollgate } from './tollgate.ts'

export const rivalNames = {
  nginx: names.nginx,
  fastify: names.fastify,
  caddy: 'Caddy, bare proxy',
  spring: 'Spring Cloud Gateway, bare proxy',
  meteredSpring: 'Spring Cloud Gateway, JWT + limit in Redis + event to Kafka',
  metered: names.metered
} as const

/** Those that run on Java, which compiles for a long time what it runs. */
export const javaNames: readonly string[] = [rivalNames.spring, rivalNames.meteredSpring]

export interface RivalLineUp extends LineUp {
  readonly meteredSpring: MeteredSpring
}

export async function startRivals (context: BenchContext): Promise<RivalLineUp> {
  const upstream = await startUpstream(context)
  const archiveFlushMs = context.isQuick ? 1_000 : 4_000
  context.say('starting nginx, fastify, Caddy, Spring Cloud Gateway and Tollgate')
  const caddy = await startCaddy(context, path.join(context.folder, 'caddy'), upstream.port)
  const spring = await startSpring(context, { folder: path.join(context.folder, 'spring'), upstreamPort: upstream.port })
  const metered = await startTollgate(context, { folder: path.join(context.folder, 'metered'), upstreamPort: upstream.port, archiveFlushMs })
  const { token, files: { apiSecret } } = metered
  const meteredSpring = await startMeteredSpring(context, { folder: path.join(context.folder, 'metered-spring'), upstreamPort: upstream.port, apiSecret, token })
  const common = { path: meteredPath, headers: { 'x-api-key': token } }
  const contestants: readonly Contestant[] = [
    ...await startProxies(context, upstream.port, token),
    { ...common, name: rivalNames.caddy, port: caddy.port, pid: caddy.pid, settle: noBooks },
    { ...common, name: rivalNames.spring, port: spring.port, pid: spring.pid, settle: noBooks },
    { ...common, name: rivalNames.meteredSpring, port: meteredSpring.port, pid: meteredSpring.pid, settle: meteredSpring.settle },
    { ...common, name: rivalNames.metered, port: metered.files.ports.gateway, pid: metered.pid, settle: metered.settleBilled }
  ]
  return {
    contestants,
    upstream,
    meteredSpring,
    verify: metered.verify,
    settings: [upstreamText, proxiesText, caddyText(), springText(), meteredText(archiveFlushMs)],
    files: [
      { name: 'nginx.conf', text: nginxConfiguration('GATEWAY', 'UPSTREAM') },
      { name: 'Caddyfile', text: caddyConfiguration('GATEWAY', 'UPSTREAM') },
      ...['src/main/resources/application.yaml', 'src/main/java/tollgate/perf/Authentication.java', 'src/main/java/tollgate/perf/UsageEvents.java']
        .map((file) => ({ name: path.basename(file), text: readFileSync(path.join(springSources, file), 'utf8') }))
    ]
  }
}

function caddyText (): string {
  const version = versionOf('caddy/go.mod', /^require github\.com\/caddyserver\/caddy\/v2 v(\S+)$/m)
  return `Caddy ${version}: built from the Go module with its standard modules by ${firstLineOf('go', ['version'])?.split(' ')[2] ?? 'Go'}, connections to the upstream kept, no access log as is its default; configuration below.`
}

function springText (): string {
  const versions = `Spring Boot ${versionOf('spring/pom.xml', /starter-parent<\/artifactId><version>([^<]+)/)}, Spring Cloud ${versionOf('spring/pom.xml', /spring-cloud-dependencies<\/artifactId><version>([^<]+)/)}`
  return `Spring Cloud Gateway (WebFlux, ${versions}), started with \`java -jar\` and Java's defaults (${firstLineOf('java', ['-version']) ?? 'Java'}). Bare: one route. The other one takes the same API key as Tollgate, checks its signature for each request, limits by key with its own RequestRateLimiter in a Redis on this machine, and sends one JSON event a request to Kafka with acks=1 once the answer is written, without waiting for it; six partitions, three copies, three brokers on this machine. Settings and filters below. CPU is that of the Java process alone; Redis is in a column of its own, Kafka's brokers are not counted.`
}

/** As it is locked. */
function versionOf (file: string, pattern: RegExp): string {
  const version = pattern.exec(readFileSync(path.join(import.meta.dirname, file), 'utf8'))?.[1]
  if (version === undefined) throw new Error(`${file} names no version`)
  return version
}
