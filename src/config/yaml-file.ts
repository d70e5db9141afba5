// A YAML file as plain values, with the line of each of them.
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document } from 'yaml'
import { yamlAliasesMax } from './limits.ts'
import type { Path } from './problem.ts'

export interface YamlFile {
  /** Undefined when there are problems, or nothing in the file. */
  readonly value: unknown
  readonly problems: readonly { readonly line: number, readonly message: string }[]
  /** The line of the deepest part of `path` that the file has; undefined when it has none of it. */
  readonly lineOf: (path: Path) => number | undefined
}

/** JSON is YAML too. */
export function readYaml (text: string): YamlFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: false })
  const problems = [...document.errors, ...document.warnings].map((error) => ({ line: lines.linePos(error.pos[0]).line, message: firstLine(error.message) }))
  const lineOf = (path: Path): number | undefined => {
    const at = offsetOf(document, path)
    return at === undefined ? undefined : lines.linePos(at).line
  }
  if (problems.length > 0) return { value: undefined, problems, lineOf }
  try {
    return { value: document.toJS({ maxAliasCount: yamlAliasesMax }), problems, lineOf }
  } catch (error) {
    return { value: undefined, problems: [{ line: 1, message: firstLine((error as Error).message) }], lineOf }
  }
}

function firstLine (text: string): string { return text.split('\n')[0] as string }

function offsetOf (document: Document, path: Path): number | undefined {
  let node: unknown = document.contents
  let offset = rangeStart(node)
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      if (pair === undefined) return node === document.contents ? undefined : offset
      offset = rangeStart(pair.key) ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      if (typeof step !== 'number' || step >= node.items.length) return offset
      node = node.items[step]
      offset = rangeStart(node) ?? offset
    } else return offset
  }
  return offset
}

function rangeStart (node: unknown): number | undefined {
  return (node as { range?: readonly number[] | null } | null | undefined)?.range?.[0]
}
