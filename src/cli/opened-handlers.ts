// Handlers of commands with the stores that were opened for them.
import type { ControlHandlers } from './control-server.ts'

export interface OpenedHandlers {
  readonly handlers: ControlHandlers
  /** Closes the stores. */
  readonly close: () => Promise<void>
}
