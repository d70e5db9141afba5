import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { openRefusalLog } from '../../../src/registry/refusal-log.ts'
import { makeRegistryFolder } from '../../helpers/sqlite-registry.ts'

const coded = (code: string) => (error: unknown): boolean => (error as { code?: string }).code === code

test('what was written is read again', (t) => {
  const { refusalFile } = makeRegistryFolder(t)
  const log = openRefusalLog(refusalFile)
  log.append([{ kind: 'revoked', apiKeyId: 7, revokedAtMs: 1_000 }, { kind: 'issued', memberId: 3 }, { kind: 'issued', apiKeyId: 9 }])
  log.append([{ kind: 'rotated', apiKeyId: 8, issuedFromS: 5, overlapUntilMs: 6_000 }, { kind: 'revoked', apiKeyId: 7, revokedAtMs: 2_000 }, { kind: 'issued', memberId: 2 }])
  log.close()
  const again = openRefusalLog(refusalFile)
  t.after(() => { again.close() })
  const facts = again.facts()
  assert.deepEqual([...facts.revokedAtMs], [[7, 1_000]])
  assert.deepEqual(facts.rotations.get(8), [{ kind: 'rotated', apiKeyId: 8, issuedFromS: 5, overlapUntilMs: 6_000 }])
  assert.equal(facts.memberIdMax, 3)
  assert.equal(facts.apiKeyIdMax, 9)
})

test('half a last line is cut off: its command was never answered', (t) => {
  const { refusalFile } = makeRegistryFolder(t)
  writeFileSync(refusalFile, '{"kind":"revoked","apiKeyId":7,"revokedAtMs":1000}\n{"kind":"revoked","apiKeyId":8,"rev')
  const log = openRefusalLog(refusalFile)
  t.after(() => { log.close() })
  assert.deepEqual([...log.facts().revokedAtMs.keys()], [7])
  log.append([{ kind: 'revoked', apiKeyId: 9, revokedAtMs: 1 }])
  assert.equal(readFileSync(refusalFile, 'utf8'), '{"kind":"revoked","apiKeyId":7,"revokedAtMs":1000}\n{"kind":"revoked","apiKeyId":9,"revokedAtMs":1}\n')
})

test('a line that cannot be read stops the start and is named', (t) => {
  const { refusalFile } = makeRegistryFolder(t)
  for (const line of ['{"kind":"revoked","apiKeyId":', '{"kind":"revoked","apiKeyId":"7","revokedAtMs":1}', '{"kind":"other","apiKeyId":7}', '{"kind":"issued"}', '{"kind":"revoked","apiKeyId":-1,"revokedAtMs":1}', 'null', '7', '']) {
    writeFileSync(refusalFile, `{"kind":"issued","memberId":1}\n${line}\n{"kind":"issued","memberId":2}\n`)
    assert.throws(() => openRefusalLog(refusalFile), (error: unknown) => coded('REFUSALS_CORRUPT')(error) && /line 2/.test((error as Error).message), line)
  }
})

test('lines that say nothing new are left out when the file has grown', (t) => {
  const { refusalFile } = makeRegistryFolder(t)
  for (let part = 0; part < 3; part++) appendFileSync(refusalFile, Array.from({ length: 10_000 }, (_, i) => `{"kind":"issued","apiKeyId":${part * 10_000 + i}}\n`).join(''))
  appendFileSync(refusalFile, '{"kind":"revoked","apiKeyId":7,"revokedAtMs":1000}\n{"kind":"rotated","apiKeyId":8,"issuedFromS":5,"overlapUntilMs":6000}\n')
  openRefusalLog(refusalFile).close()
  assert.equal(readFileSync(refusalFile, 'utf8').split('\n').length, 5)
  const log = openRefusalLog(refusalFile)
  t.after(() => { log.close() })
  assert.equal(log.facts().apiKeyIdMax, 29_999)
  assert.equal(log.facts().revokedAtMs.get(7), 1_000)
  assert.equal(log.facts().rotations.get(8)?.length, 1)
})
