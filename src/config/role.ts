// What one process does; on one machine it does everything.
import path from 'node:path'

export const roles = ['gateway', 'aggregator', 'billing'] as const
export type Role = typeof roles[number]

/** Where a process with these roles keeps its state: roles of one machine that run as processes of their own share nothing. */
export function roleState (state: string, own: readonly Role[]): string {
  return own.length === 0 || own.length === roles.length ? state : path.join(state, `role-${roles.filter((role) => own.includes(role)).join('-')}`)
}

/** Every folder that `roleState` can name. */
export function roleStates (state: string): string[] {
  const subsets = Array.from({ length: 2 ** roles.length }, (_, bits) => roles.filter((_role, index) => (bits >> index) % 2 === 1))
  return [...new Set(subsets.map((own) => roleState(state, own)))]
}
