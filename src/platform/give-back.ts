// Memory outside of V8's heap, given back at once. Left to the garbage collector it stays until all garbage is collected, and
// V8 collects all of it the more often the more such memory there is.

/** Every view on it is empty from here on. */
export function giveBack (memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer && !memory.detached) memory.transfer(0)
}
