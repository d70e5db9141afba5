// The one file, built as a release is, once for what the sources are now: tests that need it ask here.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { madeOnce } from './made-once.ts'

const root = path.resolve(import.meta.dirname, '../..')
const cache = path.join(root, 'node_modules/.cache/tollgate-build')

export type Target = 'linux-x64' | 'linux-arm64'

/** The target of this machine. */
export const ownTarget = `linux-${process.arch}` as Target

/** Everything that decides what comes out. */
function stamp (): string {
  const hash = createHash('sha256').update(execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root }))
  for (const file of ['package-lock.json', ...globSync(['src/**/*.ts', 'build/**/*'], { cwd: root, exclude: (name) => name === 'node_modules' }).sort()]) {
    if (/\.\w+$/.test(file)) hash.update(file).update(readFileSync(path.join(root, file)))
  }
  return hash.digest('hex').slice(0, 16)
}

/** Builds from `checkout` into `output`. */
export function buildFile (checkout: string, output: string, targets: readonly Target[]): void {
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', path.join(checkout, 'build/file/main.ts'), targets.join(','), output], { cwd: checkout, stdio: ['ignore', 'ignore', 'inherit'] })
}

/** The checkout as it is, in another folder below this one, with the packages as hard links. Gone after the test. */
export function copyCheckout (t: TestContext): { readonly folder: string, readonly checkout: string } {
  mkdirSync(path.join(root, '.tollgate'), { recursive: true })
  const folder = mkdtempSync(path.join(root, '.tollgate/build-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  const checkout = path.join(folder, 'checkout')
  execFileSync('git', ['clone', '--quiet', '--shared', root, checkout])
  for (const file of execFileSync('git', ['-C', root, 'ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' }).split('\n').filter((line) => line !== '')) {
    if (existsSync(path.join(root, file))) cpSync(path.join(root, file), path.join(checkout, file), { verbatimSymlinks: true })
    else rmSync(path.join(checkout, file), { force: true })
  }
  execFileSync('cp', ['-al', path.join(root, 'node_modules'), path.join(checkout, 'node_modules')])
  return { folder, checkout }
}

/** A folder with the file of each target, its bill of materials, licences and SHA256SUMS. */
export function builtFolder (targets: readonly Target[]): string {
  return builtOnce(targets.join('-'), (fresh) => { buildFile(root, fresh, targets) })
}

/** Made again when anything has changed that decides what comes out. */
export function builtOnce (name: string, make: (fresh: string) => void): string {
  return madeOnce(path.join(cache, `test-${stamp()}-${name}`), (fresh) => {
    for (const old of globSync(`test-*-${name}`, { cwd: cache })) rmSync(path.join(cache, old), { recursive: true })
    make(fresh)
  })
}

export function packedFile (target: Target): string {
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { readonly version: string }
  return path.join(builtFolder(['linux-x64', 'linux-arm64']), `tollgate-${version}-${target}`)
}
