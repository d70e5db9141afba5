// What is generated is what the sources say now.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { generatedFiles } from '../../../monitoring/source/generated.ts'

const root = path.resolve(import.meta.dirname, '../../..')

for (const [name, text] of generatedFiles()) {
  test(`${name} is what its source says`, () => {
    assert.equal(readFileSync(path.join(root, name), 'utf8'), text, 'run: monitoring/generate')
  })
}
