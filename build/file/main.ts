// Makes the one file of a target: scripts, native parts and Node, out of the pinned packages alone. The same commit gives
// the same bytes, in any folder, on either architecture: no time, no path and no name of this machine goes in.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { constants, zstdCompressSync } from 'node:zlib'
import type { NativeManifest } from '../../src/platform/native.ts'
import { buildFacts } from '../../src/platform/version.ts'
import { cycloneDx, licenceTexts } from './bill-of-materials.ts'
import { bundle } from './bundle.ts'
import { checkAlignment, withNote } from './elf.ts'
import { readParts } from './parts.ts'
import type { Architecture, Lock } from './parts.ts'

const root = path.resolve(import.meta.dirname, '../..')
const cache = path.join(root, 'node_modules/.cache/tollgate-build')
const fileBytesMax = 130_000_000
const packedBytesMax = 60_000_000
const compressionLevel = 19

/** As bin/tollgate starts a checkout. */
const nodeOptions = ['--max-semi-space-size=8', '--single-threaded-gc', '--expose-gc', '--disable-warning=ExperimentalWarning']
/** The C library reads its settings before anything of ours runs, so the program starts itself once more, with the same process id, before it has read its own scripts. */
const loader = `const { argv, argv0, env, execPath, execve } = process
if (argv[2] === 'run' && env.MALLOC_ARENA_MAX === undefined) execve(execPath, [argv0, ...argv.slice(2)], { ...env, MALLOC_ARENA_MAX: '2' })
const script = require('node:zlib').zstdDecompressSync(new Uint8Array(require('node:sea').getRawAsset('main'))).toString('latin1')
require('node:vm').compileFunction(script, ['require', 'module', 'exports'], { filename: 'tollgate' })(require, module, exports)
`
const switchOff = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:0'
const noteName = 'NODE_SEA_BLOB'

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')
const readJson = (file: string): unknown => JSON.parse(readFileSync(path.join(root, file), 'utf8'))

/** Of the commit, not of this hour. */
function readTimestamp (): string { return new Date(execFileSync('git', ['show', '-s', '--format=%cI', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()).toISOString() }

/** Kept by the hash of what is compressed: half a minute for DuckDB. */
function compressed (content: Buffer): Buffer {
  const kept = path.join(cache, `${sha256(content)}-${compressionLevel}.zst`)
  if (existsSync(kept)) return readFileSync(kept)
  const options = { params: { [constants.ZSTD_c_compressionLevel]: compressionLevel, [constants.ZSTD_c_checksumFlag]: 1 }, pledgedSrcSize: content.length }
  const result = zstdCompressSync(content, options)
  mkdirSync(cache, { recursive: true })
  writeFileSync(`${kept}.${process.pid}`, result)
  renameSync(`${kept}.${process.pid}`, kept)
  return result
}

/** What Node finds inside itself at its start. */
function applicationBlob (scripts: ReadonlyMap<string, string>, native: ReadonlyMap<string, Buffer>): Buffer {
  const manifest: NativeManifest = {
    id: sha256(Buffer.from([...native].map(([name, content]) => `${name} ${sha256(content)}`).join('\n'))).slice(0, 16),
    files: [...native].map(([name, content]) => ({ name, bytes: content.length, sha256: sha256(content) }))
  }
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(path.join(cache, 'work-'))
  try {
    const assets: Record<string, string> = {}
    const add = (name: string, content: string | Buffer): string => {
      const file = `asset-${Object.keys(assets).length}`
      writeFileSync(path.join(work, file), content)
      return assets[name] = file
    }
    for (const [name, script] of scripts) add(name, compressed(Buffer.from(script, 'latin1')))
    for (const [name, content] of native) add(name, compressed(content))
    add('native.json', JSON.stringify(manifest))
    writeFileSync(path.join(work, 'tollgate.cjs'), loader)
    // No snapshot and no code cache: they belong to one architecture. NODE_OPTIONS of an operator's shell change nothing.
    const config = { main: 'tollgate.cjs', output: 'blob', disableExperimentalSEAWarning: true, useSnapshot: false, useCodeCache: false, execArgv: nodeOptions, execArgvExtension: 'none', assets }
    writeFileSync(path.join(work, 'config.json'), JSON.stringify(config))
    execFileSync(process.execPath, ['--experimental-sea-config', 'config.json'], { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] })
    return readFileSync(path.join(work, 'blob'))
  } finally {
    rmSync(work, { recursive: true })
  }
}

function withApplication (node: Buffer, blob: Buffer): Buffer {
  const program = withNote(node, { name: noteName, content: blob })
  const at = program.indexOf(switchOff)
  if (at < 0 || program.indexOf(switchOff, at + 1) >= 0) throw new Error('this Node has no single switch for an application inside it')
  program.write('1', at + switchOff.length - 1)
  return program
}

async function build (architecture: Architecture, { output, isPacked }: { readonly output: string, readonly isPacked: boolean }): Promise<void> {
  const target = `linux-${architecture}`
  const { version } = readJson('package.json') as { readonly version: string }
  const lock = readJson('package-lock.json') as Lock
  const parts = readParts(root, lock, architecture, cache)
  if (!parts.node.includes(`${process.version}\0`)) throw new Error(`the target's Node isn't ${process.version}`)
  const { scripts, packages } = await bundle(root, buildFacts())
  const program = withApplication(parts.node, applicationBlob(scripts, parts.native))
  const name = `tollgate-${version}-${target}`
  checkAlignment(name, program, parts.pageBytes)
  if (program.length > fileBytesMax) throw new Error(`${name} has ${program.length} bytes; ${fileBytesMax} are the most`)
  const contents = { root, lock, packages: [...packages, ...parts.packages], nodeLicense: parts.nodeLicense }
  mkdirSync(output, { recursive: true })
  const write = (file: string, content: string | Buffer, mode = 0o644): void => {
    writeFileSync(path.join(output, `.${file}`), content, { mode })
    renameSync(path.join(output, `.${file}`), path.join(output, file))
  }
  write(name, program, 0o755)
  write(`${name}.cdx.json`, cycloneDx(contents, { version, target, timestamp: readTimestamp(), sha256: sha256(program) }))
  write(`${name}.licences.txt`, licenceTexts(contents))
  if (isPacked) {
    const packed = compressed(program)
    if (packed.length > packedBytesMax) throw new Error(`${name}.zst has ${packed.length} bytes; ${packedBytesMax} are the most`)
    write(`${name}.zst`, packed)
  }
  const files = readdirSync(output).filter((file) => file.startsWith(`tollgate-${version}-`)).sort()
  write('SHA256SUMS', files.map((file) => `${sha256(readFileSync(path.join(output, file)))}  ${file}\n`).join(''))
  process.stdout.write(`${path.relative(process.cwd(), path.join(output, name))}  ${program.length} bytes  ${sha256(program)}\n`)
}

const [targets = '', output = '', packing = ''] = process.argv.slice(2)
for (const target of targets.split(',')) await build(target.replace('linux-', '') as Architecture, { output: path.resolve(output), isPacked: packing === 'zst' })
