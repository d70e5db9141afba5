// The files of a search server: fetched once by Maven into a folder of the checkout that git ignores. Several may ask at the
// same time: one fetches under a lock, and the folder appears whole or not at all.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

export type SearchServer = 'elasticsearch' | 'opensearch'

export const elasticsearchVersion = '8.19.21'
export const searchServers = {
  elasticsearch: { name: 'Elasticsearch', version: elasticsearchVersion, group: 'org.elasticsearch.distribution.integ-test-zip', megabytes: 107, javaMin: 17 },
  opensearch: { name: 'OpenSearch', version: '3.6.0', group: 'org.opensearch.distribution.integ-test-zip', megabytes: 162, javaMin: 21 }
} as const

const services = path.resolve(import.meta.dirname, '../../../.tollgate/services')

// Others than the owner may read it: the server does not run as root.
const script = `
set -eu
umask 022
[ -d "$1/home" ] && exit 0
rm -rf "$1/part" && mkdir "$1/part"
mvn -B -q -ntp dependency:copy -Dartifact=$4:$3:$2:zip -DoutputDirectory="$1/part"
unzip -q "$1/part/$3-$2.zip" -d "$1/part"
chmod -R a+rX "$1/part/$3-$2"
mv "$1/part/$3-$2" "$1/home"
rm -rf "$1/part"`

/** @returns the folder of the server; nothing is written into it */
export async function searchServerHome (server: SearchServer): Promise<string> {
  const { name, version, group, megabytes } = searchServers[server]
  const folder = path.join(services, `${server}-${version}`)
  const home = path.join(folder, 'home')
  if (!existsSync(home)) {
    process.stderr.write(`First use: Maven fetches ${name} ${version} (${megabytes} MB) into ${path.relative(process.cwd(), folder)} ...\n`)
    mkdirSync(folder, { recursive: true })
    await promisify(execFile)('flock', [path.join(folder, 'lock'), 'sh', '-c', script, 'fetch', folder, version, server, group])
    process.stderr.write(`${name} is fetched.\n`)
  }
  return home
}
