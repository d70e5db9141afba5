// Whether the cluster counts on this gateway: the last thing that Kafka has of it, as far as we know, was not that it has ended.
// A known gateway may start while Kafka is away, since no hour is called complete without it. A new one may not.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { writeFileDurable } from '../platform/durable-file.ts'

type State = 'open' | 'closed'

export class KnownGateway {
  readonly #file: string
  readonly #gatewayId: string
  #state: State | undefined

  /** @param stateFolder the shipper's own */
  constructor (stateFolder: string, gatewayId: string) {
    this.#file = path.join(stateFolder, 'gateway.json')
    this.#gatewayId = gatewayId
    this.#state = this.#read()
  }

  get isOpen (): boolean { return this.#state === 'open' }

  /** Kafka has acknowledged that a stream of ours is open. */
  opened (): void { this.#write('open') }

  /** It is about to be said that we have ended. Before, not after: whatever becomes of it, we are not counted on any more. */
  closing (): void { this.#write('closed') }

  #write (state: State): void {
    if (this.#state === state) return
    writeFileDurable(this.#file, JSON.stringify({ gatewayId: this.#gatewayId, state }) + '\n')
    this.#state = state
  }

  /** A file that can't be read says nothing: then the hello is waited for. */
  #read (): State | undefined {
    try {
      const { gatewayId, state } = JSON.parse(readFileSync(this.#file, 'utf8')) as { readonly gatewayId?: unknown, readonly state?: unknown }
      return gatewayId === this.#gatewayId && (state === 'open' || state === 'closed') ? state : undefined
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}
