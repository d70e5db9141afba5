// What the gateway shows and believes where it speaks TLS with an upstream; read once, with the configuration.
import { certificateOf, checkPair, keyOf, readPemFile } from './pem-file.ts'
import type { Checked, Path } from './problem.ts'
import type { Role } from './role.ts'
import type { Config } from './schema.ts'

/** PEM texts, as they were checked. */
export interface UpstreamTls {
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
  readonly serverName?: string
}

/** Headers that mean something to the gateway, the upstream's server, or the connection. */
const takenHeaders = /^(?:host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|forwarded|x-forwarded-.*|x-trace-id|traceparent|tracestate|x-api-key|x-api-key-id|x-member-id|x-member-grade)$/

/** @returns by the upstream's name, of those that have `tls` */
export function checkUpstreams ({ gateway }: Config, roles: readonly Role[], checked: Checked): Readonly<Record<string, UpstreamTls>> {
  const found: Record<string, UpstreamTls> = {}
  for (const [name, { url, otherUrls, tls, secretHeader }] of Object.entries(gateway.upstreams)) {
    const path = ['gateway', 'upstreams', name]
    if (!checked.isSound(path)) continue
    if (secretHeader !== undefined && takenHeaders.test(secretHeader.name.toLowerCase())) checked.report([...path, 'secretHeader', 'name'], `${secretHeader.name} has a meaning of its own`, 'take another name, such as X-Gateway-Secret')
    if (secretHeader !== undefined && [url, ...otherUrls].some((each) => each.startsWith('http:') && !isOnThisMachine(each))) checked.warn(`the secret header of the upstream ${name} crosses the network in the clear: use https://`)
    if (tls === undefined) continue
    if ([url, ...otherUrls].some((each) => each.startsWith('http:'))) checked.report([...path, 'tls'], 'an upstream of http:// is spoken to without TLS', 'write https:// before all its addresses, or leave `tls` out')
    else if (roles.includes('gateway')) found[name] = readTls([...path, 'tls'], tls, checked)
  }
  return found
}

function isOnThisMachine (url: string): boolean { return /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname) }

function readTls (path: Path, { caFile, certificateFile, keyFile, serverName }: NonNullable<Config['gateway']['upstreams'][string]['tls']>, { report }: Checked): UpstreamTls {
  const read = (setting: string, file: string | undefined, isSecret: boolean): string | undefined => file === undefined ? undefined : readPemFile([...path, setting], file, { isSecret, report })
  checkPair(path, { certificateFile, keyFile }, report)
  const [ca, certificate, key] = [read('caFile', caFile, false), read('certificateFile', certificateFile, false), read('keyFile', keyFile, true)]
  if (ca !== undefined && certificateOf(ca) === undefined) report([...path, 'caFile'], `${caFile} holds no certificate`, 'write the authority\'s certificate as PEM')
  if (certificate !== undefined && key !== undefined && !isPair(certificate, key)) {
    report([...path, 'keyFile'], `${certificateFile} and ${keyFile} are no certificate and the key that belongs to it`, 'write both as PEM, the key without a passphrase')
  }
  return { ...(ca === undefined ? {} : { ca }), ...(certificate === undefined ? {} : { certificate }), ...(key === undefined ? {} : { key }), ...(serverName === undefined ? {} : { serverName }) }
}

function isPair (certificate: string, key: string): boolean {
  const parsedKey = keyOf(key)
  return parsedKey !== undefined && certificateOf(certificate)?.checkPrivateKey(parsedKey) === true
}
