// The Javas of this machine: a server takes the first that is new enough.
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, realpathSync } from 'node:fs'
import path from 'node:path'

export interface Java { readonly home: string, readonly version: number }

function installed (): Java[] {
  const programs = ['/usr/bin/java', ...globSync('/usr/lib/jvm/*/bin/java').sort()].filter((program) => existsSync(program)).map((program) => realpathSync(program))
  return [...new Set(programs)].flatMap((program) => {
    const [, version] = /^java\.specification\.version = (\d+)$/m.exec(execFileSync('sh', ['-c', '"$1" -XshowSettings:properties -version 2>&1 | sed "s/^ *//"', 'sh', program], { encoding: 'utf8' })) ?? []
    return version === undefined ? [] : [{ home: path.dirname(path.dirname(program)), version: Number(version) }]
  })
}

/** The one that is used by default, if it will do. @throws Error when none will */
export function javaFor (name: string, versionMin: number): Java {
  const all = installed()
  const found = all.find(({ version }) => version >= versionMin)
  if (found === undefined) throw new Error(`${name} needs Java ${versionMin} or newer, and this machine has ${all.map(({ version }) => version).join(', ') || 'none'}: install Debian 13's default-jre-headless, or any other below /usr/lib/jvm`)
  return found
}
