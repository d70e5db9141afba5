// How large the events in a journal are: the lines themselves, without frames and padding.
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'

const lineStart = Buffer.from('{"eventId"')
const lineEnd = 0x0a

/** The mean over all lines that stand in the segments, those of an earlier life too. @throws when there are none */
export function meanEventBytes (journalFolder: string): number {
  let [lines, bytes] = [0, 0]
  for (const name of globSync('*.segment', { cwd: journalFolder })) {
    const content = readFileSync(path.join(journalFolder, name))
    for (let from = content.indexOf(lineStart); from >= 0; from = content.indexOf(lineStart, from)) {
      const end = content.indexOf(lineEnd, from)
      if (end < 0) break
      lines++
      bytes += end + 1 - from
      from = end + 1
    }
  }
  if (lines === 0) throw new Error(`no event stands in ${journalFolder}`)
  return bytes / lines
}
