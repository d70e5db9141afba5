// Where this machine has its own packages from: test systems are made from there too.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'

const listFolder = '/etc/apt/sources.list.d'

export function debianMirror (): string {
  const files = ['/etc/apt/sources.list', ...readdirSync(listFolder).map((name) => path.join(listFolder, name))]
  for (const file of files.filter((name) => existsSync(name))) {
    const found = /^(?:URIs:|deb)\s+(?:\[[^\]]*\]\s+)?(\S+\/debian)\/?(?=\s|$)/m.exec(readFileSync(file, 'utf8'))
    if (found?.[1] !== undefined) return found[1]
  }
  throw new Error('this machine names no mirror of Debian in /etc/apt')
}
