// The jars of a broker: fetched once by Maven into a folder of the checkout that git ignores. Several test files may ask
// at the same time: one fetches under a lock, and the folder appears whole or not at all.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'

const version = '4.4.0'
const folder = path.resolve(import.meta.dirname, `../../../.tollgate/services/kafka-${version}`)
const lib = path.join(folder, 'lib')

const script = `
set -eu
[ -d "$1/lib" ] && exit 0
rm -rf "$1/lib.part"
mvn -B -ntp -f "$2" dependency:copy-dependencies -DoutputDirectory="$1/lib.part" -DincludeScope=runtime
mv "$1/lib.part" "$1/lib"`

export const kafkaFolder = folder

/** @returns the class path of Kafka's broker and its tools for storage */
export async function kafkaJars (): Promise<string> {
  if (!existsSync(lib)) {
    process.stderr.write(`First use: Maven fetches Apache Kafka ${version} (45 jars, 43 MB) into ${path.relative(process.cwd(), lib)} ...\n`)
    mkdirSync(folder, { recursive: true })
    await fetchJars()
    process.stderr.write('Kafka is fetched.\n')
  }
  return path.join(lib, '*')
}

function fetchJars (): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', [path.join(folder, 'lock'), 'sh', '-c', script, 'fetch', folder, path.join(import.meta.dirname, 'pom.xml')], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk: Buffer): void => { output = `${output}${chunk.toString()}`.slice(-4_000) }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('exit', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`Apache Kafka ${version} could not be fetched (Maven, Java 17 and flock are needed):\n${output}`))
    })
  })
}
