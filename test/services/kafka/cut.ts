// A power cut as a disk sees it: the end of a file that the page cache still held is gone. Kafka acknowledges what lies in
// page caches, so brokers on one power strip can all forget the same acknowledged records.
import { readdir, stat, truncate } from 'node:fs/promises'
import path from 'node:path'

/** Cuts the newest segment that holds anything. A partition that isn't on this broker is no error. */
export async function cutPartition (folder: string, keepShare: number): Promise<void> {
  if (!(keepShare >= 0 && keepShare <= 1)) throw new RangeError(`a share of ${keepShare}`)
  const names = await readdir(folder).catch((): string[] => [])
  for (const name of names.filter((each) => each.endsWith('.log')).sort().reverse()) {
    const file = path.join(folder, name)
    const { size } = await stat(file)
    if (size === 0) continue
    await truncate(file, Math.floor(size * keepShare))
    return
  }
}
