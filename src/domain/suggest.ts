// "Did you mean …?" for a name that is not known.

/** The known name nearest to `name`; undefined when none is near enough to be what was meant. */
export function nearestName (name: string, known: readonly string[]): string | undefined {
  const plain = name.toLowerCase().slice(0, 64)
  let nearest: { readonly candidate: string, readonly distance: number } | undefined
  for (const candidate of known) {
    const distance = editDistance(plain, candidate.toLowerCase().slice(0, 64))
    const isNear = distance <= Math.max(1, Math.floor(Math.max(plain.length, candidate.length) / 3))
    if (isNear && (nearest === undefined || distance < nearest.distance)) nearest = { candidate, distance }
  }
  return nearest?.candidate
}

/** Insertions, deletions, changes of one character and swaps of two neighbours. */
function editDistance (a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number): number => (rows[row] as number[])[column] as number
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    rows.push(current)
    for (let column = 1; column <= b.length; column++) {
      const change = a[row - 1] === b[column - 1] ? 0 : 1
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      current.push(Math.min(at(row - 1, column) + 1, at(row, column - 1) + 1, at(row - 1, column - 1) + change, isSwap ? at(row - 2, column - 2) + 1 : Infinity))
    }
  }
  return at(a.length, b.length)
}
