// Writes every generated file anew; says which have changed.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { generatedFiles } from './generated.ts'

const root = path.resolve(import.meta.dirname, '../..')

function textOf (file: string): string | undefined {
  try { return readFileSync(file, 'utf8') } catch { return undefined }
}

for (const [name, text] of generatedFiles()) {
  const file = path.join(root, name)
  if (textOf(file) === text) continue
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
  process.stdout.write(`wrote ${name}\n`)
}
