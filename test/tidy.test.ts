// Style that can be checked, checked: who imports whom (the table in ARCHITECTURE.md), cycles, sizes, bans with what to
// use instead. When a rule hurts, change the design or argue the rule in docs/decisions.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'

const root = path.resolve(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8')
const sources = globSync('src/**/*.ts', { cwd: root }).sort()
const tests = globSync('test/**/*.ts', { cwd: root }).sort()

const fileLinesMax = 300
const functionLinesMax = 70

interface Import { readonly from: string, readonly to: string, readonly isTypeOnly: boolean }

function parse (file: string): ts.SourceFile {
  return ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true)
}

function importsOf (file: string): Import[] {
  const found: Import[] = []
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
      const isTypeOnly = ts.isImportDeclaration(node) ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword : node.isTypeOnly
      found.push({ from: file, to: node.moduleSpecifier.text, isTypeOnly })
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword && node.arguments[0] !== undefined && ts.isStringLiteral(node.arguments[0])) {
      found.push({ from: file, to: node.arguments[0].text, isTypeOnly: false })
    }
    ts.forEachChild(node, visit)
  }
  visit(parse(file))
  return found
}

const folderOf = (file: string): string => {
  const parts = path.relative('src', file).split('/')
  return parts.length === 1 ? parts[0] ?? '' : parts[0] ?? ''
}
const allImports = sources.flatMap(importsOf)
const local = allImports.filter((entry) => entry.to.startsWith('.')).map((entry) => ({ ...entry, target: path.join(path.dirname(entry.from), entry.to) }))

interface Allowed { readonly folder: string, readonly isTypesOnly: boolean }

function importTable (): Map<string, readonly Allowed[] | 'everything'> {
  const table = new Map<string, readonly Allowed[] | 'everything'>()
  const section = read('ARCHITECTURE.md').split('## Who may import whom')[1]?.split('\n## ')[0] ?? ''
  for (const line of section.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim())
    if (cells.length < 4 || cells[1] === 'folder' || cells[1]?.startsWith('-') === true) continue
    const may = cells[2] ?? ''
    const allowed = may === 'everything' ? 'everything' : may === 'nothing' ? [] : may.split(', ').map((entry) => ({ folder: entry.split(' ')[0] ?? '', isTypesOnly: entry.includes('types') }))
    for (const name of (cells[1] ?? '').split(', ')) table.set(name, allowed)
  }
  return table
}

test('each folder imports only what the table in ARCHITECTURE.md allows', () => {
  const table = importTable()
  assert.ok(table.size >= 14, `the table was not understood: ${table.size} rows`)
  const wrong: string[] = []
  for (const entry of local) {
    const from = folderOf(entry.from)
    const to = folderOf(entry.target)
    if (from === to) continue
    const allowed = table.get(from)
    if (allowed === 'everything') continue
    const rule = allowed?.find((candidate) => candidate.folder === to)
    if (rule === undefined) wrong.push(`${entry.from} imports ${entry.target}`)
    else if (rule.isTypesOnly && !entry.isTypeOnly) wrong.push(`${entry.from} imports ${entry.target}: only types may be imported (import type)`)
  }
  assert.deepEqual(wrong, [])
})

test('the domain imports no package and does no I/O', () => {
  const wrong = allImports.filter((entry) => folderOf(entry.from) === 'domain' && !entry.to.startsWith('.') && entry.to !== 'node:crypto')
  assert.deepEqual(wrong, [])
})

test('there are no import cycles', () => {
  const graph = new Map<string, string[]>()
  for (const entry of local) graph.set(entry.from, [...(graph.get(entry.from) ?? []), entry.target])
  const done = new Set<string>()
  const cycles: string[] = []
  const walk = (file: string, trail: readonly string[]): void => {
    const at = trail.indexOf(file)
    if (at >= 0) { cycles.push([...trail.slice(at), file].join(' -> ')); return }
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) walk(next, [...trail, file])
    done.add(file)
  }
  for (const file of sources) walk(file, [])
  assert.deepEqual(cycles, [])
})

test('every local import names a file that exists, with its extension', () => {
  const known = new Set(sources)
  assert.deepEqual(local.filter((entry) => !known.has(entry.target)).map((entry) => `${entry.from}: ${entry.to}`), [])
})

test(`source files have at most ${fileLinesMax} lines and functions at most ${functionLinesMax}`, () => {
  const wrong: string[] = []
  for (const file of sources) {
    const source = parse(file)
    const lines = source.getLineAndCharacterOfPosition(source.end).line
    if (lines > fileLinesMax) wrong.push(`${file}: ${lines} lines`)
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
        const from = source.getLineAndCharacterOfPosition(node.getStart()).line
        const length = source.getLineAndCharacterOfPosition(node.end).line - from + 1
        if (length > functionLinesMax) wrong.push(`${file}:${from + 1}: a function of ${length} lines`)
      }
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
  assert.deepEqual(wrong, [])
})

interface Ban { readonly pattern: RegExp, readonly except: readonly string[], readonly instead: string }

const bans: readonly Ban[] = [
  { pattern: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bprocess\.hrtime\b/, except: ['src/platform/clock.ts'], instead: 'a Clock (platform/clock.ts)' },
  { pattern: /(?<![.\w])set(?:Timeout|Interval)\(/, except: ['src/platform/clock.ts'], instead: 'after, every or sleepMs (platform/clock.ts)' },
  { pattern: /\bprocess\.env\b/, except: ['src/config/load.ts', 'src/gateway/start.ts'], instead: 'configuration (config/load.ts)' },
  { pattern: /\bconsole\./, except: [], instead: 'the logger, or the stdout that a command is given' },
  { pattern: /\bMath\.random\b/, except: [], instead: 'randomness passed in, or node:crypto' },
  { pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/, except: [], instead: 'doing it, or an issue' },
  { pattern: /@ts-(?:ignore|nocheck|expect-error)|eslint-disable/, except: [], instead: 'a type that says what is meant' },
  { pattern: /\bfrom 'node:sqlite'/, except: ['src/registry/', 'src/platform/state-lock.ts'], instead: 'the registry port' },
  { pattern: /\bfrom '@duckdb\/node-api'/, except: ['src/platform/duckdb.ts'], instead: 'platform/duckdb.ts' },
  { pattern: /\bfrom 'uWebSockets\.js'/, except: ['src/gateway/'], instead: 'the gateway' },
  { pattern: /\bfrom '@platformatic\/kafka'/, except: ['src/kafka/'], instead: 'the types of kafka/port.ts' },
  { pattern: /\bfrom 'redis(?:-om)?'/, except: ['src/platform/redis.ts', 'src/registry/'], instead: 'platform/redis.ts' },
  { pattern: /\bfrom 'prom-client'/, except: ['src/platform/'], instead: 'platform/metrics.ts' },
  { pattern: /'tollgate_[a-z_]+'.*help:|\bnew (?:Counter|Gauge|Histogram)\(/, except: ['src/platform/metrics.ts'], instead: 'the catalogue in platform/metrics.ts' },
  { pattern: /\bMath\.floor\([^)]*3_?600_?000/, except: ['src/domain/window.ts', 'src/journal/answered.ts'], instead: 'domain/window.ts (journal/answered.ts is the independent witness)' }
]

test('banned constructs are not used', () => {
  const wrong: string[] = []
  for (const file of sources) {
    read(file).split('\n').forEach((line, index) => {
      for (const ban of bans) {
        if (ban.except.some((prefix) => file.startsWith(prefix))) continue
        if (ban.pattern.test(line)) wrong.push(`${file}:${index + 1}: ${line.trim().slice(0, 80)} -> use ${ban.instead}`)
      }
    })
  }
  assert.deepEqual(wrong, [])
})

test('no file is called utils, helpers, common or manager', () => {
  assert.deepEqual(sources.filter((file) => /(?:util|helper|common|manager|misc)/i.test(path.relative('src', file))), [])
})

test('every test file has a test, and none is skipped, focused or left to do', () => {
  const wrong: string[] = []
  for (const file of tests.filter((name) => name.endsWith('.test.ts'))) {
    const text = read(file)
    const isSuiteCall = /Contract\(/.test(text)
    if (!isSuiteCall && !/\b(?:test|it)\(/.test(text)) wrong.push(`${file}: no test`)
    if (/\b(?:test|it|describe|suite)\.(?:skip|only|todo)\(|\bskip: true/.test(text)) wrong.push(`${file}: skipped, focused or left to do`)
  }
  assert.deepEqual(wrong, [])
})

test('nothing tracked names this machine or a download address', () => {
  const files = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).split('\n').filter((file) => file !== '')
  const wrong: string[] = []
  for (const file of files) {
    const full = path.join(root, file)
    const size = statSync(full, { throwIfNoEntry: false })?.size ?? 0
    if (size === 0 || size > 4_000_000) continue
    const text = read(file)
    if (text.includes(`${path.dirname(root)}/`) && path.dirname(root).length > 4) wrong.push(`${file}: a path of this machine`)
    if (file.endsWith('package-lock.json') && /"resolved": "https?:/.test(text)) wrong.push(`${file}: a download address (npm install --omit-lockfile-registry-resolved)`)
  }
  assert.deepEqual(wrong, [])
})

test('the native server in the lock file is the one whose hashes are pinned', () => {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { version: string }> }
  const pinned = JSON.parse(read('build/native.json')) as { 'uWebSockets.js': { version: string } }
  assert.equal(lock.packages['node_modules/uWebSockets.js']?.version, pinned['uWebSockets.js'].version)
  assert.equal(lock.packages['node_modules/@duckdb/node-bindings-linux-arm64']?.version, lock.packages['node_modules/@duckdb/node-bindings-linux-x64']?.version)
})

test('the version in the source is the one of package.json', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  assert.match(read('src/platform/version.ts'), new RegExp(`version = '${version.replaceAll('.', '\\.')}'`))
})

test('every local link of the documents leads to a file', () => {
  const documents = ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: root })]
  const wrong: string[] = []
  for (const document of documents) {
    for (const [, link = ''] of read(document).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(link)) continue
      if (statSync(path.join(root, path.dirname(document), link), { throwIfNoEntry: false }) === undefined) wrong.push(`${document}: ${link}`)
    }
  }
  assert.deepEqual(wrong, [])
})
