// From the sources to one script for the main thread and one for each kind of worker thread. A worker that evaluated the
// main script would take some 25 MB more.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { build } from 'esbuild'
import type { Plugin } from 'esbuild'
import type { BuildFacts } from '../../src/platform/version.ts'

export interface Bundle {
  /** Name of the asset -> script, in ASCII. `main` is that of the main thread, the others are named for their entry. */
  readonly scripts: ReadonlyMap<string, string>
  /** Folders of the packages that went in, relative to the checkout. */
  readonly packages: readonly string[]
}

const entryPattern = /entry: new URL\('(\.\/[\w-]+\.ts)', import\.meta\.url\)/g

/** @param root the checkout */
export async function bundle (root: string, facts: BuildFacts): Promise<Bundle> {
  const scripts = new Map<string, string>()
  const packages = new Set<string>()
  const entries = ['src/packed.ts']
  for (let entry = entries.shift(); entry !== undefined; entry = entries.shift()) {
    const name = entry === 'src/packed.ts' ? 'main' : entry
    if (scripts.has(name)) continue
    const result = await build({
      absWorkingDir: root,
      entryPoints: [entry],
      write: false,
      metafile: true,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node24',
      // Names stay, so that a stack trace can be read.
      minifyWhitespace: true,
      minifySyntax: true,
      legalComments: 'none',
      logLevel: 'silent',
      define: { 'import.meta.url': 'importMetaUrl', TOLLGATE_BUILD_FACTS: JSON.stringify(facts) },
      banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(process.execPath).href;' },
      plugins: [nativeParts(root), threads(root, entries)]
    })
    const trouble = [...result.errors, ...result.warnings]
    if (trouble.length > 0) throw new Error(`${entry}: ${trouble.map(({ text, location }) => `${text} (${location?.file}:${location?.line})`).join('; ')}`)
    scripts.set(name, result.outputFiles[0]?.text ?? '')
    for (const input of Object.keys(result.metafile.inputs)) {
      const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]
      if (folder !== undefined) packages.add(folder)
    }
  }
  // Files are loaded side by side, so the order in which threads are found is any: the file's must not be.
  return { scripts: new Map([...scripts].sort(([one], [other]) => one < other ? -1 : 1)), packages: [...packages].sort() }
}

/** `entry: new URL('./thread.ts', import.meta.url)` becomes the name of an asset, and that thread a script of its own. */
function threads (root: string, entries: string[]): Plugin {
  return {
    name: 'threads',
    setup (building) {
      building.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path: file }) => {
        const contents = readFileSync(file, 'utf8').replace(entryPattern, (_, relative: string) => {
          const entry = path.relative(root, path.join(path.dirname(file), relative))
          entries.push(entry)
          return `entry: new URL('asset:${entry}')`
        })
        return { contents, loader: 'ts' }
      })
    }
  }
}

/** Native add-ons are loaded from the folder in which src/platform/native.ts has put them. */
function nativeParts (root: string): Plugin {
  const loader = JSON.stringify(path.join(root, 'src/platform/native.ts'))
  const replaced = (file: string, from: string | RegExp, to: string): { readonly contents: string, readonly loader: 'js' } => {
    const text = readFileSync(file, 'utf8')
    const contents = text.replace(from, to)
    if (contents === text) throw new Error(`${path.relative(root, file)} has an unknown shape`)
    return { contents, loader: 'js' }
  }
  return {
    name: 'native parts',
    setup (building) {
      building.onResolve({ filter: /^@duckdb\/node-bindings$/ }, () => ({ path: 'duckdb', namespace: 'native' }))
      // Loaded at its first use: most commands ask the running program and need no database.
      building.onLoad({ filter: /^duckdb$/, namespace: 'native' }, () => ({ resolveDir: root, contents: `module.exports = require(${loader}).nativeWhenUsed('duckdb.node')` }))
      building.onResolve({ filter: /^uWebSockets\.js$/ }, () => ({ path: path.join(root, 'node_modules/uWebSockets.js/uws.js') }))
      building.onLoad({ filter: /uWebSockets\.js\/uws\.js$/ }, ({ path: file }) => replaced(file, /return require\('\.\/uws_'[^;]*;/, `return require(${loader}).loadNative('uws.node');`))
      building.onResolve({ filter: /^@node-rs\/crc32$/ }, () => ({ path: 'crc32', namespace: 'native' }))
      building.onLoad({ filter: /^crc32$/, namespace: 'native' }, () => ({ resolveDir: root, contents: `let crc32c\nmodule.exports = { crc32c: (bytes) => (crc32c ??= require(${loader}).loadNative('crc32.node').crc32c)(bytes) }` }))
      // The same with the WebAssembly inside the script.
      building.onResolve({ filter: /^@platformatic\/wasm-utils$/ }, () => ({ path: path.join(root, 'node_modules/@platformatic/wasm-utils/dist/bundled.js') }))
      // Its own `require` would look for the package at run time.
      building.onLoad({ filter: /@platformatic\/kafka\/dist\/protocol\/crc32c\.js$/ }, ({ path: file }) => replaced(file, 'const require = createRequire(import.meta.url);', ''))
    }
  }
}
