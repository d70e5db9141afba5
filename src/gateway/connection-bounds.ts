// How many connections a worker lets in: so many in all, and so many of one client's address, unless that is a trusted proxy.
// One more is closed at once.
import type { HttpResponse, TemplatedApp } from 'uWebSockets.js'
import { every } from '../platform/clock.ts'
import type { Timer } from '../platform/clock.ts'
import { AddressConnections } from './address-connections.ts'
import { addressText } from './client-address.ts'
import type { ClientAddresses } from './client-address.ts'
import type { Services } from './services.ts'

export interface ConnectionBounds {
  /** Of this worker. */
  readonly connectionsMax: number
  /** Of one address, to all workers. */
  readonly addressConnectionsMax: number
  readonly workers: number
  readonly addresses: Pick<ClientAddresses, 'find'>
}

const countIntervalMs = 1_000
/** How many times fewer connections than the others one worker may have been dealt. */
const unevenness = 4

/** Before `app` listens at `port`. @param bounds those that are in force @returns what ends the counting */
export function boundConnections (app: TemplatedApp, port: number, bounds: () => ConnectionBounds, { counters, log }: Pick<Services, 'counters' | 'log'>): Timer {
  const byAddress = new AddressConnections()
  const mayStay = (response: HttpResponse, { addresses, addressConnectionsMax }: ConnectionBounds): boolean => {
    const address = addressText(new Uint8Array(response.getRemoteAddress()))
    return addresses.find(address, '').isProxyTrusted || byAddress.open(address, addressConnectionsMax)
  }
  app.filter((response, change) => {
    // The library's types say Number, the object.
    const isNew = Number(change) > 0
    counters.connections += isNew ? 1 : -1
    if (!isNew) return
    const now = bounds()
    const bound = counters.connections > now.connectionsMax ? 'total' : mayStay(response, now) ? undefined : 'address'
    if (bound === undefined) return
    counters.refusedConnections[bound]++
    // Tells this filter of its end, too.
    response.close()
  })
  let isCounting = false
  let isCountable = true
  return every(countIntervalMs, () => {
    const { addressConnectionsMax, workers } = bounds()
    // The kernel deals connections out among the workers: with fewer here, nobody has too many of all.
    if (counters.connections < addressConnectionsMax / workers / unevenness) { byAddress.reset(); return }
    if (isCounting || !isCountable) return
    isCounting = true
    byAddress.count(port, addressConnectionsMax).catch((error: unknown) => {
      isCountable = false
      log.warn({ error }, 'the kernel\'s table of connections can\'t be read: gateway.addressConnectionsMax bounds only how many connections an address opens in a second')
    }).finally(() => { isCounting = false; if (!isCountable) byAddress.reset() })
  })
}
