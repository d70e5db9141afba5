// An authority and a server's certificate for loopback, made anew at every start: nothing secret lies in the checkout.
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Certificates {
  /** PEM text: what clients trust. */
  readonly ca: string
  readonly caFile: string
  readonly certificate: string
  readonly certificateFile: string
  /** PKCS #8, as the broker wants it. */
  readonly key: string
  readonly keyFile: string
}

/** @param folder made where it isn't there; holds the files afterwards */
export async function makeCertificates (folder: string): Promise<Certificates> {
  await mkdir(folder, { recursive: true })
  const at = (name: string): string => path.join(folder, name)
  const openssl = (...argv: string[]): Promise<unknown> => run('openssl', argv)
  await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=Tollgate test authority', '-keyout', at('ca.key'), '-out', at('ca.pem'))
  await openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-keyout', at('server.key'), '-out', at('server.csr'))
  await writeFile(at('server.ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  await openssl('x509', '-req', '-days', '30', '-in', at('server.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-extfile', at('server.ext'), '-out', at('server.pem'))
  const text = (name: string): Promise<string> => readFile(at(name), 'utf8')
  return { ca: await text('ca.pem'), caFile: at('ca.pem'), certificate: await text('server.pem'), certificateFile: at('server.pem'), key: await text('server.key'), keyFile: at('server.key') }
}
