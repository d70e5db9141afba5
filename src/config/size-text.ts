// Bytes as people write them.

const factors: Readonly<Record<string, number>> = {
  '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40
}
export const sizePattern = '^(\\d{1,15}(?:\\.\\d{1,3})?) ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$'
const wholeSize = new RegExp(sizePattern)

/** '64MiB', '1.5 GB' or '4096' -> whole bytes; undefined for anything else. */
export function parseSize (text: string): number | undefined {
  const parts = wholeSize.exec(text)
  if (parts === null) return undefined
  const [, number = '', unit = ''] = parts
  const bytes = Number(number) * (factors[unit] as number)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest text that `parseSize` reads as exactly these bytes: 67108864 -> '64MiB'. */
export function formatSize (bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const factor = factors[unit] as number
    if (bytes > 0 && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return String(bytes)
}

/** For a person: '18.6 GiB'. */
export function roundSize (bytes: number): string {
  const unit = ['TiB', 'GiB', 'MiB', 'KiB'].find((candidate) => bytes >= (factors[candidate] as number))
  return unit === undefined ? `${bytes} bytes` : `${(bytes / (factors[unit] as number)).toFixed(1)} ${unit}`
}
