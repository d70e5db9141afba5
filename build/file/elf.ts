// What the build does to ELF files, by itself rather than with a library: little is needed, it must come out the same
// byte for byte, and the alignment of what is added decides whether a Pi 5 with its 16 KiB pages can start the file.

const magic = 0x7f454c46
const headerBytes = 64
const noteHeaderBytes = 12
const segmentTypes = { load: 1, note: 4 } as const

interface Segment {
  /** Where its header stands. */
  readonly headerAt: number
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly fileBytes: number
  readonly memoryBytes: number
  readonly alignBytes: number
}

const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step

function segmentsOf (elf: Buffer): Segment[] {
  if (elf.readUInt32BE(0) !== magic || elf[4] !== 2 || elf[5] !== 1) throw new Error('not an ELF64 little-endian file')
  const tableAt = Number(elf.readBigUInt64LE(32))
  const entryBytes = elf.readUInt16LE(54)
  return Array.from({ length: elf.readUInt16LE(56) }, (_, index) => {
    const at = tableAt + index * entryBytes
    const number = (offset: number): number => Number(elf.readBigUInt64LE(at + offset))
    return { headerAt: at, type: elf.readUInt32LE(at), offset: number(8), address: number(16), fileBytes: number(32), memoryBytes: number(40), alignBytes: number(48) }
  })
}

const loaded = (elf: Buffer): Segment[] => segmentsOf(elf).filter(({ type }) => type === segmentTypes.load)

/**
 * A kernel with pages of `pageBytes` maps whole pages: each part must start at the same place of a page in the file and
 * in memory. @throws when it does not
 */
export function checkAlignment (name: string, elf: Buffer, pageBytes: number): void {
  const parts = loaded(elf)
  if (parts.length === 0) throw new Error(`${name} has nothing that is loaded`)
  for (const { offset, address, alignBytes } of parts) {
    if (alignBytes < pageBytes || offset % pageBytes !== address % pageBytes) {
      throw new Error(`${name} can't be loaded with pages of ${pageBytes} bytes: a part at ${offset} of the file goes to address 0x${address.toString(16)} with an alignment of ${alignBytes}`)
    }
  }
}

/** Only what is loaded: no symbols, no debug information, no table of sections, which nobody reads at run time. */
export function stripped (elf: Buffer): Buffer {
  const end = Math.max(...loaded(elf).map(({ offset, fileBytes }) => offset + fileBytes))
  const result = Buffer.from(elf.subarray(0, end))
  result.writeBigUInt64LE(0n, 40)
  result.fill(0, 60, headerBytes)
  return result
}

/**
 * A program with one more note, mapped into memory with the rest. The last part that is loaded grows: its zero-filled end
 * is written out, and behind it stand all notes together. No part is added and none moves, so alignment stays what it was.
 * @param program stripped
 */
export function withNote (program: Buffer, { name, content }: { readonly name: string, readonly content: Buffer }): Buffer {
  const segments = segmentsOf(program)
  const last = segments.filter(({ type }) => type === segmentTypes.load).sort((a, b) => b.address - a.address)[0]
  const notes = segments.filter(({ type }) => type === segmentTypes.note)
  const [note] = notes
  if (last === undefined || note === undefined || notes.length !== 1 || last.offset + last.fileBytes !== program.length) throw new Error('the program has an unknown shape: one part with notes is expected, and nothing behind what is loaded')
  const own = program.subarray(note.offset, note.offset + note.fileBytes)
  const nameBytes = Buffer.from(`${name}\0`)
  const header = Buffer.alloc(noteHeaderBytes + roundUp(nameBytes.length, 4))
  header.writeUInt32LE(nameBytes.length, 0)
  header.writeUInt32LE(content.length, 4)
  nameBytes.copy(header, noteHeaderBytes)
  const all = Buffer.concat([own, header, content, Buffer.alloc(roundUp(content.length, 4) - content.length)])
  const noteAt = roundUp(last.offset + last.memoryBytes, 16)
  const result = Buffer.concat([program, Buffer.alloc(noteAt - program.length), all])
  const write = (segment: Segment, fields: Readonly<Record<number, number>>): void => {
    for (const [at, value] of Object.entries(fields)) result.writeBigUInt64LE(BigInt(value), segment.headerAt + Number(at))
  }
  const lastBytes = result.length - last.offset
  write(last, { 32: lastBytes, 40: lastBytes })
  const noteAddress = last.address + noteAt - last.offset
  write(note, { 8: noteAt, 16: noteAddress, 24: noteAddress, 32: all.length, 40: all.length })
  return result
}
