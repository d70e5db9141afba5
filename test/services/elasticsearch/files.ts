// The files of the server: fetched once by Maven into a folder of the checkout that git ignores. Several may ask at the same
// time: one fetches under a lock, and the folder appears whole or not at all.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

export const elasticsearchVersion = '8.19.21'
const folder = path.resolve(import.meta.dirname, `../../../.tollgate/services/elasticsearch-${elasticsearchVersion}`)
const home = path.join(folder, 'home')

// Others than the owner may read it: the server does not run as root.
const script = `
set -eu
umask 022
[ -d "$1/home" ] && exit 0
rm -rf "$1/part" && mkdir "$1/part"
mvn -B -q -ntp dependency:copy -Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$2:zip -DoutputDirectory="$1/part"
unzip -q "$1/part/elasticsearch-$2.zip" -d "$1/part"
chmod -R a+rX "$1/part/elasticsearch-$2"
mv "$1/part/elasticsearch-$2" "$1/home"
rm -rf "$1/part"`

/** @returns the folder of the server; nothing is written into it */
export async function elasticsearchHome (): Promise<string> {
  if (!existsSync(home)) {
    process.stderr.write(`First use: Maven fetches Elasticsearch ${elasticsearchVersion} (107 MB) into ${path.relative(process.cwd(), folder)} ...\n`)
    mkdirSync(folder, { recursive: true })
    await promisify(execFile)('flock', [path.join(folder, 'lock'), 'sh', '-c', script, 'fetch', folder, elasticsearchVersion])
    process.stderr.write('Elasticsearch is fetched.\n')
  }
  return home
}
