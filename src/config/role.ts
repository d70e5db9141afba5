// What one process does; on one machine it does everything.
export const roles = ['gateway', 'aggregator', 'billing'] as const
export type Role = typeof roles[number]
