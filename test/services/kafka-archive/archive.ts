// Apache Kafka's archive as its download page has it, as far as the playbooks use it: its libraries, tools among them, put
// together from Maven Central once into a folder of the checkout that git ignores. No registry has the archive itself.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const version = '4.3.1'
const folder = path.resolve(import.meta.dirname, `../../../.tollgate/services/kafka-archive-${version}`)

const script = `
set -eu
[ -e "$1/$2.tgz" ] && exit 0
rm -rf "$1/$2"
mvn -B -ntp -f "$3" dependency:copy-dependencies -DoutputDirectory="$1/$2/libs" -DincludeScope=runtime
tar -C "$1" -czf "$1/part" "$2"
mv "$1/part" "$1/$2.tgz"
rm -r "$1/$2"`

export interface KafkaArchive { readonly version: string, readonly file: string, readonly sha512: string }

export function kafkaArchive (): KafkaArchive {
  const name = `kafka_2.13-${version}`
  const file = path.join(folder, `${name}.tgz`)
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true })
    execFileSync('flock', [path.join(folder, 'lock'), 'sh', '-c', script, 'fetch', folder, name, path.join(import.meta.dirname, 'pom.xml')], { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  return { version, file, sha512: createHash('sha512').update(readFileSync(file)).digest('hex') }
}
