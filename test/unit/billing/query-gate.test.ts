import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openQueryGate } from '../../../src/billing/query-gate.ts'

test('a few run, a few wait in order, the rest is refused', async () => {
  const gate = openQueryGate({ runningMax: 2, waitingMax: 2 })
  const ends: (() => void)[] = []
  const started: number[] = []
  const ask = (name: number): Promise<number> => gate.pass(() => new Promise((resolve) => { started.push(name); ends.push(() => { resolve(name) }) }))
  const questions = [ask(1), ask(2), ask(3), ask(4)]
  await assert.rejects(ask(5), { code: 'M0009' })
  assert.equal(gate.waiting(), 2)
  assert.deepEqual(started, [1, 2])
  for (let i = 0; i < 4; i++) {
    ends[i]?.()
    await questions[i]
    await Promise.resolve()
  }
  assert.deepEqual(await Promise.all(questions), [1, 2, 3, 4])
  assert.deepEqual(started, [1, 2, 3, 4])
  assert.equal(gate.waiting(), 0)
})

test('a question that fails gives its place back', async () => {
  const gate = openQueryGate({ runningMax: 1, waitingMax: 1 })
  const failing = gate.pass(() => Promise.reject(new Error('failed')))
  const waiting = gate.pass(() => Promise.resolve('answered'))
  await assert.rejects(failing, /failed/)
  assert.equal(await waiting, 'answered')
  assert.equal(await gate.pass(() => Promise.resolve('free')), 'free')
})
