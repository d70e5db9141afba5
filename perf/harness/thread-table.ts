// Where a process's CPU went, by its threads.
import { spreadOf } from './rounds.ts'
import type { Table } from './scenario.ts'

export interface ThreadSample { readonly cpuSByThread: Readonly<Record<string, number>> }

export function secondsByThread ({ cpuMsByThread }: { readonly cpuMsByThread: Readonly<Record<string, number>> }): Record<string, number> {
  return Object.fromEntries(Object.entries(cpuMsByThread).map(([name, cpuMs]) => [name, cpuMs / 1000]))
}

/** Medians over the rounds, the costliest thread first. */
export function threadTable (title: string, samples: readonly ThreadSample[], events: number): Table {
  const threads = [...new Set(samples.flatMap(({ cpuSByThread }) => Object.keys(cpuSByThread)))]
    .map((thread) => ({ thread, us: spreadOf(samples.map(({ cpuSByThread }) => (cpuSByThread[thread] ?? 0) * 1e6 / events)).median })).sort((a, b) => b.us - a.us)
  return { title, columns: ['thread', 'us'], rows: threads.map(({ thread, us }) => [thread, us.toFixed(2)]), notes: [] }
}
