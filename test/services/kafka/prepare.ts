// Kafka's classes, read and checked once and kept in the form that Java uses them in: a broker starts in a third of the
// processor's time. Made by a first broker that is started for it and stopped again. Java goes without it where it
// doesn't fit.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { checkpointName, openBroker } from './broker.ts'
import { kafkaFolder } from './jars.ts'
import { holdPorts } from './ports.ts'

const archive = path.join(kafkaFolder, 'classes.jsa')
const template = path.join(kafkaFolder, 'formatted.checkpoint')

export interface Prepared { readonly javaOptions: readonly string[], /** See `BrokerSetup`. */ readonly template: string }

export async function prepareKafka (classPath: string): Promise<Prepared> {
  if (!existsSync(archive) || !existsSync(template)) await prepare(classPath)
  return { template, javaOptions: [`-XX:SharedArchiveFile=${archive}`, '-Xshare:auto', '-Xlog:cds=off', '-Xlog:cds+dynamic=off'] }
}

async function prepare (classPath: string): Promise<void> {
  const part = `${archive}.${randomUUID()}`
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-kafka-classes-'))
  const ports = await holdPorts()
  try {
    const broker = openBroker({ nodeId: 1, nodes: 1, basePort: ports.base, folder, classPath, javaOptions: [`-XX:ArchiveClassesAtExit=${part}`], settings: {} })
    await broker.start()
    await broker.stop()
    await copyFile(path.join(broker.dataFolder, checkpointName), `${part}.template`)
    await rename(`${part}.template`, template)
    if (existsSync(part)) await rename(part, archive)
  } finally {
    ports.release()
    await rm(folder, { recursive: true, force: true })
  }
}
