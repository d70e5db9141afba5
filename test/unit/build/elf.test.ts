// What the build does to ELF files, on small ones made here: nothing that is loaded moves, and what can't be loaded with a
// machine's pages is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkAlignment, stripped, withNote } from '../../../build/file/elf.ts'

const kinds = { load: 1, note: 4 } as const
interface Part { readonly kind: keyof typeof kinds, readonly offset: number, readonly address: number, readonly fileBytes: number, readonly memoryBytes: number, readonly alignBytes: number }

const noteAt = 0x200
const ownNote = Buffer.from([4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, ...Buffer.from('GNU\0'), 1, 2, 3, 4])
const text: Part = { kind: 'load', offset: 0, address: 0x400000, fileBytes: 0x1000, memoryBytes: 0x1000, alignBytes: 0x10000 }
const data: Part = { kind: 'load', offset: 0x1000, address: 0x411000, fileBytes: 0x100, memoryBytes: 0x345, alignBytes: 0x10000 }
const note: Part = { kind: 'note', offset: noteAt, address: 0x400000 + noteAt, fileBytes: ownNote.length, memoryBytes: ownNote.length, alignBytes: 4 }

/** With symbols behind what is loaded. */
function elfOf (parts: readonly Part[]): Buffer {
  const elf = Buffer.alloc(0x1500, 0xee)
  elf.writeUInt32BE(0x7f454c46, 0)
  elf[4] = 2
  elf[5] = 1
  elf.writeBigUInt64LE(64n, 32)
  elf.writeBigUInt64LE(0x1400n, 40)
  elf.writeUInt16LE(56, 54)
  elf.writeUInt16LE(parts.length, 56)
  parts.forEach(({ kind, offset, address, fileBytes, memoryBytes, alignBytes }, index) => {
    const at = 64 + index * 56
    elf.writeUInt32LE(kinds[kind], at)
    for (const [place, value] of [[8, offset], [16, address], [24, address], [32, fileBytes], [40, memoryBytes], [48, alignBytes]] as const) elf.writeBigUInt64LE(BigInt(value), at + place)
  })
  ownNote.copy(elf, noteAt)
  return elf
}

/** As the kernel and the program's own search see it: memory by address, and the notes in it. */
function load (elf: Buffer): { readonly read: (address: number, bytes: number) => Buffer, readonly notes: ReadonlyMap<string, Buffer> } {
  const header = (index: number, place: number): number => Number(elf.readBigUInt64LE(64 + index * 56 + place))
  const indexes = Array.from({ length: elf.readUInt16LE(56) }, (_, index) => index)
  const ofKind = (kind: keyof typeof kinds): number[] => indexes.filter((index) => elf.readUInt32LE(64 + index * 56) === kinds[kind])
  const read = (address: number, bytes: number): Buffer => {
    const index = ofKind('load').find((each) => address >= header(each, 16) && address + bytes <= header(each, 16) + header(each, 40))
    assert.ok(index !== undefined, `nothing is mapped at 0x${address.toString(16)}`)
    const memory = Buffer.alloc(header(index, 40))
    elf.copy(memory, 0, header(index, 8), header(index, 8) + header(index, 32))
    return memory.subarray(address - header(index, 16), address - header(index, 16) + bytes)
  }
  const notes = new Map<string, Buffer>()
  for (const index of ofKind('note')) {
    const all = read(header(index, 16), header(index, 40))
    for (let at = 0; at < all.length;) {
      const nameBytes = all.readUInt32LE(at)
      const contentBytes = all.readUInt32LE(at + 4)
      const contentAt = at + 12 + Math.ceil(nameBytes / 4) * 4
      notes.set(all.toString('latin1', at + 12, at + 12 + nameBytes - 1), all.subarray(contentAt, contentAt + contentBytes))
      at = contentAt + Math.ceil(contentBytes / 4) * 4
    }
  }
  return { read, notes }
}

test('a note is found beside the old one, and what was loaded before is loaded as before', () => {
  const before = elfOf([text, data, note])
  for (const content of [Buffer.from('x'), Buffer.alloc(70_001, 'content')]) {
    const after = withNote(stripped(before), { name: 'OURS', content })
    const loaded = load(after)
    assert.deepEqual([...loaded.notes.keys()], ['GNU', 'OURS'])
    assert.ok(loaded.notes.get('GNU')?.equals(Buffer.from([1, 2, 3, 4])))
    assert.ok(loaded.notes.get('OURS')?.equals(content))
    assert.ok(loaded.read(data.address, 0x100).equals(load(before).read(data.address, 0x100)))
    assert.ok(loaded.read(data.address + 0x100, 0x245).equals(Buffer.alloc(0x245)), 'what the program expects to be zero is zero')
    checkAlignment('after', after, 65_536)
  }
})

test('stripped is what is loaded, without a table of sections', () => {
  const small = stripped(elfOf([text, data, note]))
  assert.equal(small.length, 0x1100)
  assert.equal(small.readBigUInt64LE(40), 0n)
  assert.equal(small.readUInt32LE(60), 0)
})

test('a part that a machine with larger pages can\'t map is refused', () => {
  checkAlignment('good', elfOf([text, data]), 65_536)
  checkAlignment('good for small pages', elfOf([{ ...text, alignBytes: 4_096 }]), 4_096)
  assert.throws(() => { checkAlignment('bad', elfOf([text, { ...data, alignBytes: 4_096 }]), 65_536) }, /bad can't be loaded with pages of 65536 bytes: .* alignment of 4096/)
  assert.throws(() => { checkAlignment('bad', elfOf([text, { ...data, address: 0x412000 }]), 65_536) }, /bad can't be loaded/)
  assert.throws(() => { checkAlignment('none', elfOf([note]), 65_536) }, /nothing that is loaded/)
  assert.throws(() => { checkAlignment('text', Buffer.alloc(100), 65_536) }, /not an ELF64/)
})

test('a program of another shape is refused rather than guessed at', () => {
  assert.throws(() => withNote(stripped(elfOf([text, data])), { name: 'OURS', content: Buffer.from('x') }), /unknown shape/)
  assert.throws(() => withNote(stripped(elfOf([text, data, note, note])), { name: 'OURS', content: Buffer.from('x') }), /unknown shape/)
  assert.throws(() => withNote(elfOf([text, data, note]), { name: 'OURS', content: Buffer.from('x') }), /unknown shape/)
})
