// Lowers the glibc floor of an ELF64 little-endian shared object.
//
// The prebuilt uWebSockets.js was compiled against glibc 2.38, whose headers redirect strtol and its relatives to
// `__isoc23_*` names that older systems lack. The two families differ only in accepting binary literals ("0b1"), which
// uWebSockets.js never parses, so each such symbol is pointed back to its classic name: a suffix of the same string
// table entry, hence `st_name += 9`. Any other symbol above the floor makes this fail rather than guess.

const ISOC23_PREFIX = '__isoc23_'
const SECTION_DYNSYM = 11
const SECTION_VERSYM = 0x6fffffff
const SECTION_VERNEED = 0x6ffffffe

function compareVersions (left, right) {
  const a = left.split('.').map(Number)
  const b = right.split('.').map(Number)
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

const glibcVersion = (need) => need.name.slice('GLIBC_'.length)

function readSections (elf) {
  const tableOffset = Number(elf.readBigUInt64LE(0x28))
  const entryBytes = elf.readUInt16LE(0x3a)
  const entryCount = elf.readUInt16LE(0x3c)
  const header = (index) => {
    const at = tableOffset + index * entryBytes
    return {
      type: elf.readUInt32LE(at + 4),
      offset: Number(elf.readBigUInt64LE(at + 24)),
      bytes: Number(elf.readBigUInt64LE(at + 32)),
      link: elf.readUInt32LE(at + 40),
      info: elf.readUInt32LE(at + 44)
    }
  }
  const all = Array.from({ length: entryCount }, (_, index) => header(index))
  const find = (type) => {
    const section = all.find((candidate) => candidate.type === type)
    if (section === undefined) throw new Error(`not a dynamic shared object: no section of type 0x${type.toString(16)}`)
    return section
  }
  const dynsym = find(SECTION_DYNSYM)
  return { dynsym, versym: find(SECTION_VERSYM), verneed: find(SECTION_VERNEED), dynstr: all[dynsym.link] }
}

function readVersionNeeds (elf, sections, string) {
  const needs = []
  let fileAt = sections.verneed.offset
  for (let i = 0; i < sections.verneed.info; i++) {
    const file = string(elf.readUInt32LE(fileAt + 4))
    let at = fileAt + elf.readUInt32LE(fileAt + 8)
    for (let j = 0; j < elf.readUInt16LE(fileAt + 2); j++) {
      needs.push({ file, at, name: string(elf.readUInt32LE(at + 8)), index: elf.readUInt16LE(at + 6) })
      at += elf.readUInt32LE(at + 12)
    }
    fileAt += elf.readUInt32LE(fileAt + 12)
  }
  return needs.filter((need) => /^GLIBC_[\d.]+$/.test(need.name))
}

/**
 * @param {Buffer} input an ELF64 little-endian shared object
 * @param {string} versionMax the newest glibc version it may need afterwards, such as "2.36"
 * @returns {{ buffer: Buffer, renamed: string[], floor: string }} the patched copy, what was renamed, the new floor
 */
export function patchGlibc (input, versionMax) {
  const elf = Buffer.from(input)
  if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1) throw new Error('not an ELF64 little-endian file')
  const sections = readSections(elf)
  const string = (offset) => {
    const start = sections.dynstr.offset + offset
    return elf.toString('latin1', start, elf.indexOf(0, start))
  }
  const needs = readVersionNeeds(elf, sections, string)
  const base = needs.filter((need) => need.file === 'libc.so.6').sort((a, b) => compareVersions(glibcVersion(a), glibcVersion(b)))[0]
  const tooNew = needs.filter((need) => compareVersions(glibcVersion(need), versionMax) > 0)
  const renamed = []
  for (const need of tooNew) {
    if (need.file !== 'libc.so.6' || base === undefined) throw new Error(`cannot lower ${need.file} ${need.name}`)
    for (let i = 0; i < sections.dynsym.bytes / 24; i++) {
      const versionAt = sections.versym.offset + i * 2
      if ((elf.readUInt16LE(versionAt) & 0x7fff) !== need.index) continue
      const symbolAt = sections.dynsym.offset + i * 24
      const name = string(elf.readUInt32LE(symbolAt))
      if (!name.startsWith(ISOC23_PREFIX)) throw new Error(`cannot lower ${name}@${need.name}`)
      elf.writeUInt32LE(elf.readUInt32LE(symbolAt) + ISOC23_PREFIX.length, symbolAt)
      elf.writeUInt16LE(base.index, versionAt)
      renamed.push(name)
    }
    // The version that nothing needs any more becomes a duplicate of the base one: hash and name.
    elf.writeUInt32LE(elf.readUInt32LE(base.at), need.at)
    elf.writeUInt32LE(elf.readUInt32LE(base.at + 8), need.at + 8)
  }
  const floor = needs.filter((need) => !tooNew.includes(need)).map(glibcVersion).sort(compareVersions).at(-1)
  return { buffer: elf, renamed, floor }
}
