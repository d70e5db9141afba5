// What the demo prints: tables a person can read.

export function table (header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const isNumeric = header.map((_, column) => rows.every((row) => /^[\d,]+$/.test(row[column] ?? '')))
  const line = (cells: readonly string[]): string => cells.map((cell, column) => isNumeric[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)).join('  ')
  return [line(header), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].map((text) => `  ${text.trimEnd()}`).join('\n')
}

export const thousands = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ',')

/** What becomes of an answer with this status in the demo's traffic. */
export function meaningOf (status: number): { readonly isBilled: boolean, readonly text: string } {
  if (status === 401) return { isBilled: false, text: 'refused: no valid key (recorded, not billed)' }
  if (status === 429) return { isBilled: false, text: 'refused: over the rate limit (recorded, not billed)' }
  if (status >= 500) return { isBilled: false, text: 'the API or the gateway failed (recorded, not billed)' }
  return { isBilled: true, text: 'answered by the API (billed)' }
}
