// Tables that a person can read, and the same as CSV.

export interface Column { readonly title: string, readonly isRight?: boolean }

/** Columns two spaces apart, as wide as their widest cell; a line under the titles. */
export function tableText (columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, index) => Math.max(title.length, ...rows.map((row) => (row[index] ?? '').length)))
  const line = (cells: readonly string[]): string => cells
    .map((cell, index) => columns[index]?.isRight === true ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0))
    .join('  ').trimEnd()
  return [line(columns.map(({ title }) => title)), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n') + '\n'
}

/** RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe in front. */
export function csvText (titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return [titles, ...rows].map((row) => `${row.map(csvCell).join(',')}\r\n`).join('')
}

function csvCell (text: string): string {
  const safe = /^[=+@\t\r]|^-(?!\d)/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
