// What a start leaves behind is given back at once: V8 would keep it until the thread has made much more, which a thread that
// only waits never does.

/** A full collection of this thread, 30 to 120 ms. Nothing where the program wasn't started with `--expose-gc`. */
export function collectGarbage (): void { void globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' }) }
