// Files of the state folder that more than one part must find: ARCHITECTURE.md, "Files".
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'

export interface StateFiles {
  readonly controlSocket: string
  readonly journal: string
  /** Who has changed what. */
  readonly audit: string
  readonly registry: string
  /** What the registry must never forget; beside it. */
  readonly refusals: string
  /** How many gateways share the rates, as last known. */
  readonly gatewayCount: string
  /** The ledger's folder. */
  readonly billing: string
}

/** @param state the state folder */
export function stateFiles (state: string): StateFiles {
  return {
    controlSocket: path.join(state, 'control.sock'),
    journal: path.join(state, 'journal'),
    audit: path.join(state, 'audit.ndjson'),
    registry: path.join(state, 'gateway', 'registry.sqlite'),
    refusals: path.join(state, 'gateway', 'revocations.ndjson'),
    gatewayCount: path.join(state, 'gateway', 'gateways'),
    billing: path.join(state, 'billing')
  }
}

/** sun_path holds 108 bytes with its end. */
const socketPathBytesMax = 107

/** @throws TollgateError STATE_PATH_TOO_LONG where no socket can be made */
export function checkSocketPath (file: string): void {
  if (Buffer.byteLength(file) > socketPathBytesMax) throw new TollgateError('STATE_PATH_TOO_LONG', `the path of a socket is too long: ${file}`)
}
