import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearestName } from '../../../src/domain/suggest.ts'

test('the nearest name is suggested, when it is near', () => {
  const known = ['host', 'port', 'routes', 'upstreams', 'requestBytesMax']
  for (const [name, nearest] of [['hots', 'host'], ['prot', 'port'], ['route', 'routes'], ['upstreem', 'upstreams'], ['requestbytesmax', 'requestBytesMax'], ['x', undefined], ['listen', undefined], ['', undefined], ['x'.repeat(10_000), undefined]] as const) assert.equal(nearestName(name, known), nearest, name)
  assert.equal(nearestName('anything', []), undefined)
})
