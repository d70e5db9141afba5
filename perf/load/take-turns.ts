// Loaded by autocannon into each of its threads and called for each connection, which takes its share of the requests that
// are asked in turn: the n-th connection of c the n-th, the (n + c)-th and so on. Where there are fewer requests than
// connections each takes all of them, the n-th connection from the n-th on.
import { workerData } from 'node:worker_threads'
import type { Asked, Turn } from './saturate.ts'

interface AutocannonClient { readonly setRequests: (requests: readonly Asked[]) => void }

export function shareOf ({ requests, connections }: Pick<Turn, 'requests' | 'connections'>, connection: number): readonly Asked[] {
  if (requests.length >= connections) return requests.filter((_, index) => index % connections === connection)
  const first = connection % requests.length
  // autocannon writes into what it is given.
  return [...requests.slice(first), ...requests.slice(0, first)].map((request) => ({ ...request }))
}

function takeTurns (client: AutocannonClient): void {
  const { turn } = (workerData as { readonly opts: { readonly turn: Turn } }).opts
  client.setRequests(shareOf(turn, Atomics.add(turn.taken, 0, 1) % turn.connections))
}

// autocannon calls what `require` gives.
export { takeTurns as 'module.exports' }
