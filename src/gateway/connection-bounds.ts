// How many connections a worker lets in: so many in all, and so many of one client's address, unless that is a trusted proxy.
// One more is closed at once.
import type { HttpResponse } from 'uWebSockets.js'
import { every } from '../platform/clock.ts'
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

export interface BoundConnections {
  /** Whether one more from this address may be opened; counts it, or its refusal. */
  readonly mayOpen: (address: string) => boolean
  /** A connection of the native server has come or gone. */
  readonly onChange: (response: HttpResponse, isNew: boolean) => void
  readonly cancel: () => void
}

/** @param bounds those that are in force */
export function boundConnections (port: number, bounds: () => ConnectionBounds, { counters, log }: Pick<Services, 'counters' | 'log'>): BoundConnections {
  const byAddress = new AddressConnections()
  const mayOpen = (address: string): boolean => {
    const { addresses, addressConnectionsMax } = bounds()
    if (addresses.find(address, '').isProxyTrusted || byAddress.open(address, addressConnectionsMax)) return true
    counters.refusedConnections.address++
    return false
  }
  const onChange = (response: HttpResponse, isNew: boolean): void => {
    counters.connections += isNew ? 1 : -1
    if (!isNew) return
    const address = addressText(new Uint8Array(response.getRemoteAddress()))
    const isCrowded = counters.connections > bounds().connectionsMax
    if (isCrowded) counters.refusedConnections.total++
    // Without an address it comes from mutual-tls-port.ts, which has asked.
    else if (address === '' || mayOpen(address)) return
    // Tells `onChange` of its end, too.
    response.close()
  }
  let isCounting = false
  let isCountable = true
  const timer = every(countIntervalMs, () => {
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
  return { mayOpen, onChange, cancel: timer.cancel }
}
