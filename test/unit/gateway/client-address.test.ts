import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressBlock, addressText, createClientAddresses, truncated } from '../../../src/gateway/client-address.ts'

const { find } = createClientAddresses({ trustedProxies: ['10.0.0.0/8', '192.168.1.1', 'fd00::/8'], recorded: 'full' })

test('a client that no proxy stands before is who connects, whatever it says', () => {
  assert.deepEqual(find('203.0.113.9', '10.0.0.1, 1.1.1.1'), { clientIp: '203.0.113.9', isProxyTrusted: false })
  assert.deepEqual(createClientAddresses({ trustedProxies: [], recorded: 'full' }).find('10.0.0.1', '1.1.1.1'), { clientIp: '10.0.0.1', isProxyTrusted: false })
})

test('behind trusted proxies: the first address from the right that none of them has', () => {
  const cases: Readonly<Record<string, string>> = {
    '': '10.0.0.1',
    '203.0.113.9': '203.0.113.9',
    '6.6.6.6, 203.0.113.9': '203.0.113.9',
    '6.6.6.6, 203.0.113.9, 10.9.9.9, 192.168.1.1': '203.0.113.9',
    '10.9.9.9': '10.9.9.9',
    '203.0.113.9:1234': '203.0.113.9',
    '[2001:db8::1]:443, fd00::1': '2001:db8::1',
    '::ffff:203.0.113.9': '203.0.113.9',
    // What is no address ends the trail: the last one that was is the best known.
    '203.0.113.9, unknown, 10.9.9.9': '10.9.9.9',
    'a b c': '10.0.0.1',
    [Array.from({ length: 100 }, () => '10.1.1.1').join()]: '10.1.1.1'
  }
  for (const [forwardedFor, clientIp] of Object.entries(cases)) assert.deepEqual(find('10.0.0.1', forwardedFor), { clientIp, isProxyTrusted: true }, forwardedFor)
})

test('what an event may hold', () => {
  const recorded = (how: 'full' | 'truncated' | 'off'): string | undefined => createClientAddresses({ trustedProxies: [], recorded: how }).recorded('203.0.113.9')
  assert.deepEqual([recorded('full'), recorded('truncated'), recorded('off')], ['203.0.113.9', '203.0.113.0', undefined])
  const networks: Readonly<Record<string, string | undefined>> = {
    '1.2.3.4': '1.2.3.0', '::1': '::', '0:0:0:0:0:0:0:1': '::', '2001:db8:1:2:3:4:5:6': '2001:db8:1::', '2001:db8::1': '2001:db8::', '64:ff9b::1.2.3.4': '64:ff9b::', 'fe80::1%eth0': undefined, hello: undefined
  }
  for (const [address, network] of Object.entries(networks)) assert.equal(truncated(address), network, address)
})

test('addresses as the server gives them', () => {
  const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)
  assert.equal(addressText(bytes(127, 0, 0, 1)), '127.0.0.1')
  assert.equal(addressText(bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4)), '1.2.3.4')
  assert.equal(addressText(bytes(0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)), '2001:db8::1')
  assert.equal(addressText(bytes()), '')
})

test('bounds see an IPv4 address, or the /64 of an IPv6 one, in whatever form it came', () => {
  assert.equal(addressBlock('192.0.2.7'), '192.0.2.7')
  for (const address of ['2001:db8:1:2::', '2001:db8:1:2:3:4:5:6', '2001:0DB8:0001:0002::7']) assert.equal(addressBlock(address), '2001:db8:1:2::')
  assert.notEqual(addressBlock('2001:db8:1:3::'), '2001:db8:1:2::')
  assert.deepEqual([addressBlock(''), addressBlock('::1')], ['', '::'])
})
