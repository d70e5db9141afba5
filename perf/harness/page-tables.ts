// The tables of docs/benchmarks.md read back: what is drawn and judged is what stands on the page.

export interface PageTable {
  readonly scenario: string
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

const partPattern = /<!-- bench:([a-z-]+) -->([\s\S]*?)<!-- \/bench:\1 -->/g
const tablePattern = /\*\*(.+)\*\*\n\n(\|.*)\n\|[-:|]+\n((?:\|.*\n?)+)/g

const cellsOf = (line: string): string[] => line.split('|').slice(1, -1).map((cell) => cell.trim())

export function tablesOfPage (text: string): PageTable[] {
  return [...text.matchAll(partPattern)].flatMap(([, scenario = '', part = '']) => [...part.matchAll(tablePattern)].map(([, title = '', head = '', body = '']) => ({
    scenario, title, columns: cellsOf(head), rows: body.trim().split('\n').map(cellsOf)
  })))
}

export interface Figure { readonly median: number, readonly min: number, readonly max: number }

/** Reads `81.2`, `13,407`, `4.9 %` and `81.2 (67.0 to 83.0)`; undefined for anything else. */
export function figureOf (cell: string): Figure | undefined {
  const [, median, min, max] = /^(-?[\d,.]+)(?: \((-?[\d,.]+) to (-?[\d,.]+)\))?(?: %)?$/.exec(cell) ?? []
  if (median === undefined) return undefined
  const number = (text: string): number => Number(text.replaceAll(',', ''))
  const value = number(median)
  return Number.isNaN(value) ? undefined : { median: value, min: min === undefined ? value : number(min), max: max === undefined ? value : number(max) }
}

/** Of the row whose first cells are `row`, the first column of that name. */
export function figureAt (tables: readonly PageTable[], { scenario, title, row, column }: { readonly scenario: string, /** How the table's title begins. */ readonly title: string, readonly row: readonly string[], readonly column: string }): Figure | undefined {
  const table = tables.find((candidate) => candidate.scenario === scenario && candidate.title.startsWith(title))
  const cells = table?.rows.find((candidate) => row.every((cell, index) => candidate[index] === cell))
  return figureOf(cells?.[table?.columns.indexOf(column) ?? -1] ?? '')
}
