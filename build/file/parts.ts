// What goes into the file from npm: the pinned packages of package-lock.json and nothing else. Those of another
// architecture are fetched through npm and held to the same hashes.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { patchGlibc } from '../patch-glibc.mjs'
import { checkAlignment, stripped } from './elf.ts'

export type Architecture = 'x64' | 'arm64'

export interface LockedPackage { readonly version: string, readonly integrity?: string, readonly name?: string, readonly license?: string }
export interface Lock { readonly packages: Readonly<Record<string, LockedPackage>> }

export interface Parts {
  /** Stripped. */
  readonly node: Buffer
  /** Name of the asset -> stripped file. */
  readonly native: ReadonlyMap<string, Buffer>
  /** As in package-lock.json. */
  readonly packages: readonly string[]
  readonly nodeLicense: string
  /** The largest pages with which the target's kernel may run. */
  readonly pageBytes: number
}

interface PinnedServer { readonly 'uWebSockets.js': { readonly patched: Readonly<Record<string, string>> }, readonly glibcFloor: string }

/** A Pi 5's kernel has pages of 16 KiB; 64 KiB are the most that the architecture knows. */
const pageBytes: Readonly<Record<Architecture, number>> = { x64: 4_096, arm64: 65_536 }
const serverModule = 'uws_linux_ARCHITECTURE_137.node'

/** @param root the checkout, with its packages. @param cache where fetched packages are kept. @throws when a part has a wrong hash or can't be loaded on the target */
export function readParts (root: string, lock: Lock, architecture: Architecture, cache: string): Parts {
  const nodePackage = `node-linux-${architecture}`
  const duckdbPackage = `@duckdb/node-bindings-linux-${architecture}`
  const crcPackage = `@node-rs/crc32-linux-${architecture}-gnu`
  const folder = (name: string): string => packageFolder(root, lock, name, cache)
  const read = (name: string, file: string): Buffer => readFileSync(path.join(folder(name), file))
  const files = new Map([
    ['node', read(nodePackage, 'bin/node')],
    ['uws.node', readServer(root, architecture)],
    ['duckdb.node', read(duckdbPackage, 'duckdb.node')],
    ['libduckdb.so', read(duckdbPackage, 'libduckdb.so')],
    ['crc32.node', read(crcPackage, `crc32.linux-${architecture}-gnu.node`)]
  ])
  for (const [name, content] of files) checkAlignment(name, content, pageBytes[architecture])
  const native = new Map([...files].map(([name, content]) => [name, stripped(content)]))
  const node = native.get('node') ?? Buffer.alloc(0)
  native.delete('node')
  return { node, native, packages: [nodePackage, duckdbPackage, crcPackage], nodeLicense: read(nodePackage, 'LICENSE').toString('utf8'), pageBytes: pageBytes[architecture] }
}

/** With the lower floor, whatever this machine's set-up has done to the file. */
function readServer (root: string, architecture: Architecture): Buffer {
  const pinned = JSON.parse(readFileSync(path.join(root, 'build/native.json'), 'utf8')) as PinnedServer
  const name = serverModule.replace('ARCHITECTURE', architecture)
  const file = readFileSync(path.join(root, 'node_modules/uWebSockets.js', name))
  const { buffer } = patchGlibc(file, pinned.glibcFloor)
  const expected = pinned['uWebSockets.js'].patched[name]
  const found = createHash('sha256').update(buffer).digest('hex')
  if (found !== expected) throw new Error(`${name} has an unknown hash after it was patched (expected ${expected}, found ${found}): remove node_modules and try again`)
  return buffer
}

function packageFolder (root: string, lock: Lock, name: string, cache: string): string {
  const installed = path.join(root, 'node_modules', name)
  if (existsSync(installed)) return installed
  const locked = lock.packages[`node_modules/${name}`]
  if (locked?.integrity === undefined) throw new Error(`package-lock.json has no ${name}`)
  const folder = path.join(cache, `${name.replaceAll('/', '+')}@${locked.version}`)
  if (existsSync(folder)) return folder
  process.stderr.write(`fetching ${name}@${locked.version}\n`)
  const fresh = `${folder}.${process.pid}`
  mkdirSync(fresh, { recursive: true })
  try {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', fresh, `${name}@${locked.version}`], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
    const archive = path.join(fresh, `${name.replace('@', '').replace('/', '-')}-${locked.version}.tgz`)
    const hash = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
    if (hash !== locked.integrity) throw new Error(`${name}@${locked.version} isn't what package-lock.json says (expected ${locked.integrity}, found ${hash})`)
    execFileSync('tar', ['-xzf', archive, '-C', fresh])
    rmSync(folder, { recursive: true, force: true })
    renameSync(path.join(fresh, 'package'), folder)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
  return folder
}
