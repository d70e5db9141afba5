// Prepares a checkout: installs the pinned packages, checks the native HTTP server's hash, lowers its glibc floor where
// this machine needs that. Runs on whatever Node (20 or newer) the machine has; everything after it runs on the pinned
// one from node_modules. Idempotent: a second run finds the stamp and does nothing.
import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { patchGlibc } from './patch-glibc.mjs'

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..')
const stampFile = path.join(root, 'node_modules', '.tollgate-setup')
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

function fail (message) {
  process.stderr.write(`tollgate setup: ${message}\n`)
  process.exit(1)
}

function stamp () {
  const inputs = ['package.json', 'package-lock.json', 'build/native.json', 'build/setup.mjs', 'build/patch-glibc.mjs']
  return sha256(inputs.map((file) => sha256(readFileSync(path.join(root, file)))).join('\n') + process.arch)
}

function checkMachine () {
  if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node ${process.versions.node} is too old to set up with; install Node 20 or newer (its version does not matter afterwards)`)
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) fail(`Tollgate runs on Linux, x64 or arm64; this is ${process.platform} ${process.arch}`)
}

function installPackages () {
  process.stderr.write('tollgate setup: installing the pinned packages (about 200 MB to download, 470 MB on disk, under a minute on a fast line) ...\n')
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (result.error) fail(`npm could not be started (${result.error.message}); install npm beside Node`)
  if (result.status !== 0) fail('npm ci failed; see its message above. It needs the npm registry, once')
}

function prepareServer () {
  const pinned = JSON.parse(readFileSync(path.join(root, 'build', 'native.json'), 'utf8'))
  const name = `uws_linux_${process.arch}_137.node`
  const file = path.join(root, 'node_modules', 'uWebSockets.js', name)
  const original = readFileSync(file)
  const expected = pinned['uWebSockets.js'].files[name]
  if (sha256(original) !== expected) fail(`${name} has an unknown hash (expected ${expected}, found ${sha256(original)}); the package was changed or already patched. Remove node_modules and try again`)
  const glibc = process.report.getReport().header.glibcVersionRuntime
  if (glibc === undefined) fail('this system has no glibc; uWebSockets.js needs it')
  const [major, minor] = glibc.split('.').map(Number)
  if (major > 2 || minor >= 38) return
  const { buffer, renamed, floor } = patchGlibc(original, pinned.glibcFloor)
  writeFileSync(`${file}.new`, buffer, { mode: 0o755 })
  renameSync(`${file}.new`, file)
  process.stderr.write(`tollgate setup: lowered the glibc floor of uWebSockets.js to ${floor} for this machine's glibc ${glibc} (${renamed.length} symbols)\n`)
}

checkMachine()
const wanted = stamp()
if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== wanted) {
  installPackages()
  prepareServer()
  writeFileSync(stampFile, wanted)
}
