// Bodies of any length whose every byte is known: one block of bytes again and again. Comparing with it costs next to nothing,
// and a byte that is lost, doubled or moved shows, because the block's length fits no buffer.
import { seededRandom } from '../../test/helpers/seeded-random.ts'

/** A prime. */
export const blockBytes = 65_521

const random = seededRandom(3)
const block = Buffer.from(Uint8Array.from({ length: blockBytes }, () => Math.floor(random() * 256)))
/** Twice, so that a piece can begin anywhere. */
const twice = Buffer.concat([block, block])

/** The body's bytes from `offset` on, a block at most, not beyond `totalBytes`. */
export function pieceAt (offset: number, totalBytes: number): Buffer {
  const from = offset % blockBytes
  return twice.subarray(from, from + Math.min(blockBytes, totalBytes - offset))
}

/** Whether `chunk` is what a body has from `offset` on. */
export function isPiece (chunk: Buffer, offset: number): boolean {
  for (let at = 0; at < chunk.length; at += blockBytes) {
    const length = Math.min(blockBytes, chunk.length - at)
    const from = (offset + at) % blockBytes
    if (chunk.compare(twice, from, from + length, at, at + length) !== 0) return false
  }
  return true
}
