// What a release is made of: small enough, loadable with any page size, described by its bill of materials, and the same
// bytes wherever it is built.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { buildFile, builtFolder, copyCheckout, ownTarget, packedFile } from '../helpers/packed-file.ts'
import type { Target } from '../helpers/packed-file.ts'

const root = path.resolve(import.meta.dirname, '../..')
const targets: readonly Target[] = ['linux-x64', 'linux-arm64']
const folder = builtFolder(targets)
const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
const run = (file: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): string => execFileSync(file, argv, { encoding: 'utf8', env: { ...process.env, ...env } })

test('SHA256SUMS names every file, and is right', () => {
  const lines = readFileSync(path.join(folder, 'SHA256SUMS'), 'utf8').trim().split('\n').map((line) => line.split('  '))
  assert.deepEqual(lines.map(([, name]) => name), readdirSync(folder).filter((name) => name !== 'SHA256SUMS').sort())
  assert.equal(lines.length, 3 * targets.length)
  for (const [sum, name = ''] of lines) assert.equal(sum, sha256(path.join(folder, name)), name)
})

test('each file has at most 130 MB', (t) => {
  for (const target of targets) {
    const { size } = statSync(packedFile(target))
    t.diagnostic(`note: ${target}: ${size} bytes`)
    assert.ok(size <= 130_000_000, `${target}: ${size}`)
  }
})

test('every part of the arm64 file, Node included, can be mapped with pages of 64 KiB', () => {
  const headers = run('readelf', ['-lW', packedFile('linux-arm64')])
  const parts = [...headers.matchAll(/^ +LOAD +0x([0-9a-f]+) +0x([0-9a-f]+) .* 0x([0-9a-f]+)$/gm)]
  assert.ok(parts.length >= 2, headers)
  for (const [line, offset = '', address = '', align = ''] of parts) {
    assert.ok(parseInt(align, 16) >= 65_536, line)
    assert.equal(parseInt(offset, 16) % 65_536, parseInt(address, 16) % 65_536, line)
  }
  assert.match(headers, /AArch64|aarch64/)
})

test('the bill of materials names what is inside and what it may be used for', () => {
  const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as { readonly packages: Record<string, { readonly version: string }> }
  for (const target of targets) {
    const file = packedFile(target)
    const bill = JSON.parse(readFileSync(`${file}.cdx.json`, 'utf8')) as { readonly bomFormat: string, readonly specVersion: string, readonly metadata: { readonly component: { readonly hashes: readonly { readonly content: string }[] } }, readonly components: readonly { readonly name: string, readonly version: string, readonly licenses: readonly unknown[], readonly hashes: readonly { readonly content: string }[] }[] }
    assert.equal(bill.bomFormat, 'CycloneDX')
    assert.equal(bill.metadata.component.hashes[0]?.content, sha256(file))
    const names = bill.components.map(({ name }) => name)
    for (const name of ['@btc-vision/uwebsockets.js', '@duckdb/node-api', `@duckdb/node-bindings-${target}`, `node-${target}`, `@node-rs/crc32-${target}-gnu`, 'fastify', 'undici', '@platformatic/kafka', 'redis-om', 'pino']) assert.ok(names.includes(name), `${name} is missing`)
    for (const name of ['typescript', 'eslint', 'esbuild', 'kafkajs', 'autocannon']) assert.ok(!names.includes(name), `${name} is a tool, not a part`)
    for (const { name, version, licenses, hashes } of bill.components) assert.ok(version !== '' && licenses.length > 0 && /^[0-9a-f]{128}$/.test(hashes[0]?.content ?? ''), name)
    assert.equal(bill.components.find(({ name }) => name === 'fastify')?.version, lock.packages['node_modules/fastify']?.version)
    const licences = readFileSync(`${file}.licences.txt`, 'utf8')
    for (const { name, version } of bill.components) assert.ok(licences.includes(`${name} ${version}, licence `), name)
    assert.match(licences, /OpenSSL/, 'what Node itself contains')
  }
})

test('it says what it is, and takes no orders from NODE_OPTIONS', () => {
  const said = JSON.parse(run(packedFile(ownTarget), ['version', '--json'], { NODE_OPTIONS: '--require /nonexistent' })) as Record<string, unknown>
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { readonly version: string }
  const commit = run('git', ['-C', root, 'rev-parse', 'HEAD']).trim()
  assert.equal(said['version'], version)
  assert.ok(String(said['commit']).startsWith(commit), String(said['commit']))
  assert.equal(said['target'], ownTarget)
  assert.equal(said['node'], process.versions.node)
  assert.equal(said['sqlite'], process.versions['sqlite'])
  assert.match(String(said['duckdb']), /^1\.\d+\.\d+/)
  assert.match(String(said['uWebSockets']), /^20\.\d+\.\d+$/)
  assert.deepEqual(said['nodeOptions'], /exec "\$TOLLGATE_NODE" (.*) "\$root\/src\/main\.ts"/.exec(readFileSync(path.join(root, 'bin/tollgate'), 'utf8'))?.[1]?.split(' '), 'Node runs as bin/tollgate starts it')
})

test('a second build in another folder gives the same bytes', (t) => {
  const { folder: other, checkout } = copyCheckout(t)
  // Nothing that an earlier build has kept.
  rmSync(path.join(checkout, 'node_modules/.cache'), { recursive: true, force: true })
  const built = path.join(other, 'built')
  buildFile(checkout, built, [ownTarget])
  const names = readdirSync(built).filter((name) => name !== 'SHA256SUMS')
  assert.equal(names.length, 3)
  for (const name of names) assert.equal(sha256(path.join(built, name)), sha256(path.join(folder, name)), name)
})
