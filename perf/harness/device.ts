// What goes to the block device below a folder, as the kernel counts it for the device: everybody's writes, the file system's own
// among them.
import { existsSync, readFileSync, statSync } from 'node:fs'

/** The kernel counts in these, whatever the device's blocks are. */
const sectorBytes = 512
const sectorsWrittenField = 6

/** See makedev(3): how Linux puts two numbers into one. */
export function deviceNumbers (dev: bigint): { readonly major: bigint, readonly minor: bigint } {
  return { major: (dev >> 8n & 0xfffn) | (dev >> 32n & 0xfffff000n), minor: (dev & 0xffn) | (dev >> 12n & 0xffffff00n) }
}

export interface BlockDevice {
  readonly name: string
  readonly writtenBytes: () => number
}

/** @returns undefined where the folder's file system lies on no device of its own: in memory, over a network, or over others */
export function blockDeviceOf (folder: string): BlockDevice | undefined {
  const { major, minor } = deviceNumbers(statSync(folder, { bigint: true }).dev)
  const file = `/sys/dev/block/${major}:${minor}`
  if (!existsSync(`${file}/stat`)) return undefined
  return {
    name: /^DEVNAME=(.+)$/m.exec(readFileSync(`${file}/uevent`, 'latin1'))?.[1] ?? `${major}:${minor}`,
    writtenBytes: () => Number(readFileSync(`${file}/stat`, 'latin1').trim().split(/\s+/)[sectorsWrittenField]) * sectorBytes
  }
}
