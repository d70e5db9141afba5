// Loaded into every thread of the unmetered Tollgate before its own modules: wherever the program imports its metering, it
// gets the benchmark's (unmetered-meter.ts). Everything else is the product's own code, unchanged.
import { registerHooks } from 'node:module'

const product = new URL('../../src/gateway/meter.ts', import.meta.url).href
const substitute = new URL('./unmetered-meter.ts', import.meta.url).href

registerHooks({
  resolve: (specifier, context, nextResolve) => {
    const resolved = nextResolve(specifier, context)
    return resolved.url === product ? { ...resolved, url: substitute } : resolved
  }
})
