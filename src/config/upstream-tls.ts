// What the gateway shows and believes where it speaks TLS with an upstream; read once, with the configuration.
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { configFileBytesMax } from './limits.ts'
import type { Checked, Path } from './problem.ts'
import type { Role } from './role.ts'
import type { Config } from './schema.ts'
import { fileProblem } from './secret-file.ts'
import { readTextFile } from './text-file.ts'

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
  const read = (setting: string, file: string | undefined, isSecret: boolean): string | undefined => {
    if (file === undefined) return undefined
    const problem = fileProblem(file, { isSecret })
    const text = problem === undefined ? readTextFile(file, configFileBytesMax) : undefined
    if (text !== undefined && 'text' in text) return text.text
    report([...path, setting], problem?.message ?? `${file} ${text?.message}`, problem?.remedy ?? text?.remedy ?? '')
    return undefined
  }
  if ((certificateFile === undefined) !== (keyFile === undefined)) report(path, 'a certificate without a key, or the reverse', 'give both `certificateFile` and `keyFile`, or neither')
  const [ca, certificate, key] = [read('caFile', caFile, false), read('certificateFile', certificateFile, false), read('keyFile', keyFile, true)]
  const isUsable = (use: () => unknown): boolean => { try { return use() !== false } catch { return false } }
  if (ca !== undefined && !isUsable(() => new X509Certificate(ca))) report([...path, 'caFile'], `${caFile} holds no certificate`, 'write the authority\'s certificate as PEM')
  if (certificate !== undefined && key !== undefined && !isUsable(() => new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key)))) {
    report([...path, 'keyFile'], `${certificateFile} and ${keyFile} are no certificate and the key that belongs to it`, 'write both as PEM, the key without a passphrase')
  }
  return { ...(ca === undefined ? {} : { ca }), ...(certificate === undefined ? {} : { certificate }), ...(key === undefined ? {} : { key }), ...(serverName === undefined ? {} : { serverName }) }
}
