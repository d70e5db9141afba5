// What one process does; on one machine it does everything.
import path from 'node:path'

export const roles = ['gateway', 'aggregator', 'billing'] as const
export type Role = typeof roles[number]

/** Where a process with these roles keeps its state: roles of one machine that run as processes of their own share nothing. */
export function roleState (state: string, own: readonly Role[]): string {
  return own.length === 0 || own.length === roles.length ? state : path.join(state, `role-${roles.filter((role) => own.includes(role)).join('-')}`)
}
