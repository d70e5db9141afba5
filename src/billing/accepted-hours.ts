// Hours of gateways that an operator has acknowledged on this server: they hold completeness back no longer.
import { readAcknowledgements } from '../aggregator/acknowledgements.ts'

export interface AcceptedHours {
  readonly has: (gatewayId: string, hour: number) => boolean
  /** Reads the file again. */
  readonly reload: () => void
}

export function openAcceptedHours (file: string): AcceptedHours {
  const read = (): Set<string> => new Set(readAcknowledgements(file).map(({ gatewayId, hour }) => `${gatewayId} ${hour}`))
  let accepted = read()
  return {
    has: (gatewayId, hour) => accepted.has(`${gatewayId} ${hour}`),
    reload: () => { accepted = read() }
  }
}
