// What a topic holds, read by kcat: a program of its own in C, which shares nothing with ours nor with the other reader.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { RunningKafka } from './kafka.ts'

export interface KcatRecord { readonly partition: number, readonly offset: number, readonly key: string | null, readonly payload: string | null }

/**
 * The committed records of all partitions, each partition's in its order, up to where they end now. Over the plain listener:
 * Debian's librdkafka (2.0) can't log in to Kafka 4 by SCRAM (confluentinc/librdkafka#4895).
 */
export async function kcatRecordsOf (kafka: RunningKafka, topic: string): Promise<KcatRecord[]> {
  // An empty file, so that none of the machine's is read.
  const { stdout } = await promisify(execFile)('kcat', ['-F', '/dev/null', '-b', kafka.plainBrokers.join(','), '-X', 'isolation.level=read_committed', '-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-J'], { maxBuffer: 256 * 2 ** 20 })
  return stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as KcatRecord)
}
