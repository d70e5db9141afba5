// A rival: Spring Cloud Gateway, bare, or with what Tollgate does as its users do it: a JWT, a limit in Redis, an event to
// Kafka (perf/contestants/spring).
import { spawn } from 'node:child_process'
import { mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../../test/helpers/free-ports.ts'
import { startRedis } from '../../test/services/redis.ts'
import { uniquePrefix } from '../../test/services/kafka.ts'
import { recordCount } from '../cluster/records.ts'
import { benchKafka, redisPid } from '../cluster/services.ts'
import { buildOnce } from '../harness/build.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { awaitListening, stopProcess } from '../harness/servers.ts'
import type { Server } from '../harness/servers.ts'
import { answerBody, meteredPath } from './answer.ts'
import type { Seen } from './contestant.ts'

export const springSources = path.join(import.meta.dirname, 'spring')
/** Java starts slowly on a loaded machine. */
const startMsMax = 180_000
const partitions = 6
const pollMs = 250
/** So long without a new event, and the producer is believed to have sent what it will. */
const restMs = 3_000

export interface SpringSetup {
  readonly folder: string
  readonly upstreamPort: number
  /** Variables of application.yaml's profile `metered`; left out: the bare proxy. */
  readonly metered?: Readonly<Record<'API_SECRET' | 'REDIS_PORT' | 'KAFKA_BROKERS' | 'KAFKA_TOPIC', string>>
}

export async function startSpring (context: BenchContext, { folder, upstreamPort, metered }: SpringSetup): Promise<Server & { readonly port: number }> {
  const built = await buildOnce({
    name: 'spring-gateway', sources: springSources, script: 'mvn -B -ntp -f "$2/pom.xml" -DbuildFolder="$1/target" package', needs: 'a JDK of Java 17 or newer, Maven and flock are'
  }, context.say)
  mkdirSync(folder, { recursive: true })
  const [port] = await freePorts(1) as [number]
  const logFile = path.join(folder, 'spring.log')
  const log = openSync(logFile, 'w')
  const env = { ...process.env, GATEWAY_PORT: String(port), UPSTREAM_PORT: String(upstreamPort), ...metered, ...(metered === undefined ? {} : { SPRING_PROFILES_ACTIVE: 'metered' }) }
  const child = spawn('java', ['-jar', path.join(built, 'target/gateway.jar')], { cwd: folder, env, stdio: ['ignore', log, log] })
  context.onEnd(() => stopProcess(child))
  return { port, pid: await awaitListening('Spring Cloud Gateway', child, port, logFile, startMsMax), stop: () => stopProcess(child) }
}

/** What clients saw of the metered one, and what its topic holds. Nothing says that they agree. */
export interface SpringBooks { complete: number, cut: number, events: number }

export interface MeteredSpring extends Server {
  readonly port: number
  readonly redisPid: number
  readonly books: Readonly<SpringBooks>
  /** Waits until its events are in Kafka, or no more come. */
  readonly settle: (seen: Seen) => Promise<void>
}

export async function startMeteredSpring (context: BenchContext, { folder, upstreamPort, apiSecret, token }: { readonly folder: string, readonly upstreamPort: number, readonly apiSecret: string, readonly token: string }): Promise<MeteredSpring> {
  const redis = await startRedis({ after: context.onEnd })
  const kafka = await benchKafka(context)
  const topic = `${uniquePrefix()}spring`
  await kafka.makeTopics([{ name: topic, partitions, settings: {}, minimums: {}, mayHaveMorePartitions: false }])
  const metered = { API_SECRET: apiSecret, REDIS_PORT: String(redis.port), KAFKA_BROKERS: kafka.brokers.join(','), KAFKA_TOPIC: topic }
  const server = await startSpring(context, { folder, upstreamPort, metered })
  await checkFeatures(server.port, token)
  const books: SpringBooks = { complete: 1, cut: 0, events: 0 }
  const settle = async ({ complete, cutMax }: Seen): Promise<void> => {
    books.complete += complete
    books.cut += cutMax
    for (let sinceMs = performance.now(); books.events < books.complete + books.cut && performance.now() - sinceMs < restMs;) {
      const events = await recordCount(kafka, topic)
      if (events !== books.events) { books.events = events; sinceMs = performance.now() } else await sleep(pollMs)
      // What was cut may or may not have been answered: nothing to wait long for.
      if (books.events >= books.complete && cutMax === 0) break
    }
  }
  await settle({ complete: 0, cutMax: 0 })
  return { ...server, redisPid: await redisPid(redis), books, settle }
}

/** One request with the key and one without. @throws unless it authenticates, limits and answers */
async function checkFeatures (port: number, token: string): Promise<void> {
  const url = `http://127.0.0.1:${port}${meteredPath}`
  const answer = await fetch(url, { headers: { 'x-api-key': token } })
  if (answer.status !== 200 || await answer.text() !== answerBody) throw new Error(`Spring Cloud Gateway answered ${answer.status} to a request with a valid key`)
  if (!answer.headers.has('x-ratelimit-remaining')) throw new Error('Spring Cloud Gateway does not limit: its answer has no X-RateLimit-Remaining')
  for (const wrong of ['', `${token}x`]) {
    const refused = await fetch(url, { headers: { 'x-api-key': wrong } })
    if (refused.status !== 401) throw new Error(`Spring Cloud Gateway answered ${refused.status} to a request with a wrong key`)
  }
}
