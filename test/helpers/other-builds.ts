// Builds of the one file from this source with something changed, as another version would be.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { version } from '../../src/platform/version.ts'
import { buildFile, builtOnce, copyCheckout, ownTarget } from './packed-file.ts'

export type Edit = readonly [file: string, from: string, to: string]

/** Of `laterFile`. */
export const laterVersion = '0.9.1'

/** The same program and state under a higher number. */
export function laterFile (t: TestContext): string {
  return fileIn(builtOnce('later', (fresh) => { makeBuild(t, fresh, { name: laterVersion, edits: [] }) }), laterVersion)
}

/** @param name the version that it has */
export function otherFile (t: TestContext, folder: string, { name, edits }: { readonly name: string, readonly edits: readonly Edit[] }): string {
  makeBuild(t, folder, { name, edits })
  return fileIn(folder, name)
}

function fileIn (folder: string, name: string): string { return path.join(folder, `tollgate-${name}-${ownTarget}`) }

function makeBuild (t: TestContext, output: string, { name, edits }: { readonly name: string, readonly edits: readonly Edit[] }): void {
  const { checkout } = copyCheckout(t)
  const isVersion: readonly Edit[] = [['src/platform/version.ts', `version = '${version}'`, `version = '${name}'`], ['package.json', `"version": "${version}"`, `"version": "${name}"`]]
  for (const [file, from, to] of [...isVersion, ...edits]) {
    const text = readFileSync(path.join(checkout, file), 'utf8')
    assert.ok(text.includes(from), `${file} has ${from}`)
    writeFileSync(path.join(checkout, file), text.replace(from, to))
  }
  buildFile(checkout, output, [ownTarget])
}
