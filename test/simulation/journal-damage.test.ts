// Damage to a journal at rest: what can be read is counted, what can't is void or a gap, and nobody is silent about it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './damage-scenario.ts'
import type { DamageKind } from './damage-scenario.ts'
import { run as runRare } from './recovery-scenario.ts'

test('flipped and zeroed bytes, files cut short, lost, or with a spoiled header', (t) => {
  const kinds = new Map<DamageKind, { runs: number, voids: number, lost: number, gaps: number }>()
  for (let seed = 1; seed <= 400; seed++) {
    try {
      const { kind, voids, lost, gaps } = run(seed)
      const sum = kinds.get(kind) ?? { runs: 0, voids: 0, lost: 0, gaps: 0 }
      kinds.set(kind, { runs: sum.runs + 1, voids: sum.voids + voids, lost: sum.lost + lost, gaps: sum.gaps + gaps })
    } catch (error) { throw new Error(`seed ${seed}`, { cause: error }) }
  }
  t.diagnostic(`note: ${JSON.stringify(Object.fromEntries(kinds))}`)
  for (const kind of ['flip', 'zero', 'cut', 'lose'] as const) assert.ok((kinds.get(kind)?.lost ?? 0) >= 10, `${kind}: too little was lost`)
  assert.ok((kinds.get('header')?.runs ?? 0) >= 20 && kinds.get('header')?.lost === 0)
  assert.ok((kinds.get('lose')?.gaps ?? 0) >= 5, 'a gap was never seen')
})

test('three rare accidents: zeros that were never synced, a first frame that is torn, a removed file that comes back', () => {
  for (let seed = 1; seed <= 40; seed++) runRare(seed)
})
