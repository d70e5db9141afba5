// The price book's file, with the line of each problem.
import { compilePriceBook } from '../domain/price-book.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { priceBookFileBytesMax } from './limits.ts'
import { parsePath } from './problem.ts'
import type { ConfigProblem } from './problem.ts'
import { readTextFile } from './text-file.ts'
import { readYaml } from './yaml-file.ts'

/** @param shownAs how messages name the file */
export function readPriceBookFile (file: string, shownAs: string): { readonly book: PriceBook } | { readonly problems: readonly ConfigProblem[] } {
  const text = readTextFile(file, priceBookFileBytesMax)
  if ('message' in text) return { problems: [{ path: '', file: shownAs, message: text.message, remedy: text.remedy }] }
  const yaml = readYaml(text.text)
  if (yaml.problems.length > 0) return { problems: yaml.problems.map(({ line, message }) => ({ path: '', file: shownAs, line, message, remedy: 'correct the YAML' })) }
  const compiled = compilePriceBook(yaml.value)
  if ('book' in compiled) return compiled
  return {
    problems: compiled.problems.map(({ path, message, remedy }) => {
      const line = yaml.lineOf(parsePath(path))
      return { path, file: shownAs, ...(line === undefined ? {} : { line }), message, remedy }
    })
  }
}
