// The Kafka of the cluster's scenarios: three brokers on this machine, started by the first scenario that needs them and
// shared by those after it, each with topics of its own.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import path from 'node:path'
import { startKafka } from '../../test/services/kafka.ts'
import type { RunningKafka } from '../../test/services/kafka.ts'
import type { RedisServer } from '../../test/services/redis.ts'
import { root } from '../harness/machine.ts'
import type { BenchContext } from '../harness/scenario.ts'

export const brokers = 3
export const kafkaText = `Kafka: three brokers on the same machine (KRaft, each a controller too; topics with three copies, two in sync), Tollgate's own topic settings. They share the machine with everything that is measured.`

let running: RunningKafka | undefined

export async function benchKafka (context: BenchContext): Promise<RunningKafka> {
  if (running !== undefined) return running
  context.say(`starting Kafka, ${brokers} brokers`)
  const parent = path.join(root, '.tollgate')
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(path.join(parent, 'bench-kafka-'))
  const kafka = await startKafka(undefined, { brokers, isLongLived: !context.isQuick, folder }).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true })
    throw error
  })
  context.onFinish(async () => {
    running = undefined
    await kafka.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  running = kafka
  return kafka
}

export async function redisPid (redis: RedisServer): Promise<number> {
  const pid = Number(/^process_id:(\d+)/m.exec(String(await redis.command('INFO', 'server')))?.[1] ?? NaN)
  if (!Number.isInteger(pid)) throw new Error('Redis did not tell its process')
  return pid
}
