// Tables and numbers as text: for a terminal and for the page.
import type { Spread } from './rounds.ts'
import type { Table } from './scenario.ts'

export const thousands = (count: number): string => String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',')

/** Three significant digits at least, no false precision: 4.62, 46.2, 462, 4,620. */
export function short (value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (Math.abs(value) >= 100) return thousands(value)
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}

/** `median (min to max)`; the median alone when there was one round. */
export function spreadText (spread: Spread): string {
  return spread.min === spread.max ? short(spread.median) : `${short(spread.median)} (${short(spread.min)} to ${short(spread.max)})`
}

export const megabytes = (bytes: number): string => short(bytes / 1_000_000)

export function terminalTable (table: Table): string {
  const widths = table.columns.map((name, column) => Math.max(name.length, ...table.rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    '  ' + cells.map((cell, column) => column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)).join('  ').trimEnd()
  const rows = table.rows.map(line)
  return [table.title, line(table.columns), line(widths.map((width) => '-'.repeat(width))), ...rows, ...table.notes.map((note) => `  ${note}`)].join('\n')
}

export function markdownTable (table: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const rule = `|${table.columns.map((_, column) => column === 0 ? '---|' : '---:|').join('')}`
  const notes = table.notes.length === 0 ? '' : `\n\n${table.notes.map((note) => `* ${note}`).join('\n')}`
  return `**${table.title}**\n\n${[line(table.columns), rule, ...table.rows.map(line)].join('\n')}${notes}`
}
