// Who the client is, as far as that can be known: the address that connected, or what a trusted proxy says of the one
// before it. A header that an untrusted client sent is never believed.
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

export interface ClientAddressOptions {
  /** Addresses and blocks such as 10.0.0.0/8 whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[]
  /** In usage events: the whole address, its network only (/24, /48), or nothing. */
  readonly recorded: 'full' | 'truncated' | 'off'
}

export interface ClientAddress {
  readonly clientIp: string
  /** The connection comes from a trusted proxy: its X-Forwarded-* headers count. */
  readonly isProxyTrusted: boolean
}

export interface ClientAddresses {
  /** @param peer the address that connected; @param forwardedFor all X-Forwarded-For headers, joined by commas */
  readonly find: (peer: string, forwardedFor: string) => ClientAddress
  /** What a usage event may hold of an address; undefined for nothing. */
  readonly recorded: (clientIp: string) => string | undefined
}

/** Hops of X-Forwarded-For that are read, from the nearest on. */
const hopsMax = 32

export function createClientAddresses (options: ClientAddressOptions): ClientAddresses {
  const trusted = new BlockList()
  for (const block of options.trustedProxies) addBlock(trusted, block)
  const isTrusted = options.trustedProxies.length === 0
    ? () => false
    : (address: string) => trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
  return {
    find: (peer, forwardedFor) => {
      if (!isTrusted(peer)) return { clientIp: peer, isProxyTrusted: false }
      return { clientIp: walk(peer, forwardedFor, isTrusted), isProxyTrusted: true }
    },
    recorded: options.recorded === 'off' ? () => undefined : options.recorded === 'full' ? (address) => address : truncated
  }
}

/** From the nearest hop back to the first that no trusted proxy vouches for. */
function walk (peer: string, forwardedFor: string, isTrusted: (address: string) => boolean): string {
  const hops = forwardedFor.split(',').slice(-hopsMax)
  let client = peer
  for (let at = hops.length - 1; at >= 0; at--) {
    const address = plainAddress((hops[at] as string).trim())
    if (address === undefined) return client
    client = address
    if (!isTrusted(address)) return client
  }
  return client
}

/** An address without the port and brackets that some proxies add; undefined for anything else. */
function plainAddress (text: string): string | undefined {
  if (isIP(text) !== 0) return unmapped(text)
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(text)?.[1]
  if (bracketed !== undefined && isIPv6(bracketed)) return unmapped(bracketed)
  const withPort = /^([0-9.]+):\d+$/.exec(text)?.[1]
  return withPort !== undefined && isIPv4(withPort) ? withPort : undefined
}

/**
 * The text of an address as the server gives it, 4 or 16 bytes in network order. An IPv4 address that came over an IPv6
 * socket stands in its own form, an IPv6 one in the short form of RFC 5952.
 */
export function addressText (bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes[0] + '.' + bytes[1] + '.' + bytes[2] + '.' + bytes[3]
  if (bytes.length !== 16) return ''
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex')
  if (hex.startsWith(mappedPrefix)) return addressText(bytes.subarray(12))
  return shortForm((hex.match(/.{4}/g) as string[]).join(':'))
}
const mappedPrefix = '00000000000000000000ffff'

/** @param address an IPv6 address in any of its forms, without a zone */
function shortForm (address: string): string { return new URL(`http://[${address}]`).hostname.slice(1, -1) }

function unmapped (address: string): string {
  const mapped = /^::ffff:((?:\d{1,3}\.){3}\d{1,3})$/i.exec(address)?.[1]
  return mapped !== undefined && isIPv4(mapped) ? mapped : address
}

/** The network of an address: enough for a map of callers, not enough for a person. IPv4 /24, IPv6 /48. */
export function truncated (address: string): string | undefined {
  if (isIPv4(address)) return address.slice(0, address.lastIndexOf('.')) + '.0'
  return isIPv6(address) && !address.includes('%') ? networkOf(address, 3) : undefined
}

/** Whom bounds by address count as one client: an IPv4 address, or an IPv6 /64, whose owner has all of it. */
export function addressBlock (address: string): string {
  return address.includes(':') && isIPv6(address) && !address.includes('%') ? networkOf(address, 4) : address
}

/** The first groups of 16 bits of an IPv6 address, the others 0. */
function networkOf (address: string, groupCount: number): string { return shortForm(`${groupsOf(address).slice(0, groupCount).join(':')}::`) }

/** The eight groups of 16 bits of an IPv6 address in any of its forms, without a zone, each in hexadecimal. */
export function groupsOf (address: string): string[] {
  const short = shortForm(address)
  const [head = '', tail = ''] = short.split('::')
  const [left, right] = [head, tail].map((part) => part === '' ? [] : part.split(':')) as [string[], string[]]
  return short.includes('::') ? [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right] : left
}

function addBlock (list: BlockList, block: string): void {
  const [address = '', bits] = block.split('/')
  const family = isIPv6(address) ? 'ipv6' : 'ipv4'
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, Number(bits), family)
}
