// The certificates of the listeners: whether each can be read, belongs to its key, and until when it holds. They are read once,
// with the configuration, so that whoever serves by them serves by what was checked.
import { formatTimeMs } from '../domain/window.ts'
import { certificateOf, keyOf, readPemFile } from './pem-file.ts'
import type { Checked, Path } from './problem.ts'
import type { Role } from './role.ts'
import type { Config } from './schema.ts'

/** PEM texts, as they were checked. */
export interface Certificate {
  readonly certificate: string
  readonly key: string
  /** Of the authorities whose clients are let in. */
  readonly clientCa: string | undefined
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** By listener; those that serve TLS. */
export type Certificates = Readonly<Partial<Record<'gateway' | 'operator', Certificate>>>

/** From so long before its end on there are warnings. */
export const certificateWarningMs = 14 * 86_400_000

interface TlsFiles { readonly certificateFile: string, readonly keyFile: string, readonly clientCaFile?: string | undefined }

export function checkCertificates ({ gateway, operator }: Config, roles: readonly Role[], checked: Checked, nowMs: number): Certificates {
  const certificates: Partial<Record<keyof Certificates, Certificate>> = {}
  const check = (name: keyof Certificates, tls: TlsFiles | undefined): void => {
    const path = [name, 'listen', 'tls']
    if (tls === undefined || !checked.isSound(path)) return
    const certificate = checkCertificate(path, tls, checked)
    if (certificate === undefined) return
    certificates[name] = certificate
    const warning = endWarning(name, certificate, nowMs)
    if (warning !== undefined) checked.warn(warning)
    if (certificate.notBeforeMs > nowMs) checked.warn(`the certificate of ${name}.listen holds from ${formatTimeMs(certificate.notBeforeMs)} on: clients refuse it before`)
  }
  if (roles.includes('gateway')) check('gateway', gateway.listen.tls)
  if (roles.length > 0) check('operator', operator.listen.tls)
  return certificates
}

/** What there is to say of a certificate's end; undefined while it is far. */
export function endWarning (listener: string, { notAfterMs }: Pick<Certificate, 'notAfterMs'>, nowMs: number): string | undefined {
  if (notAfterMs <= nowMs) return `the certificate of ${listener}.listen has expired at ${formatTimeMs(notAfterMs)}: clients refuse it`
  return notAfterMs - nowMs < certificateWarningMs ? `the certificate of ${listener}.listen expires at ${formatTimeMs(notAfterMs)}: renew it, and run \`tollgate reload\`` : undefined
}

function checkCertificate (path: Path, { certificateFile, keyFile, clientCaFile }: TlsFiles, { report }: Checked): Certificate | undefined {
  const read = (key: string, file: string, isSecret: boolean): string | undefined => readPemFile([...path, key], file, { isSecret, report })
  const certificate = read('certificateFile', certificateFile, false)
  const key = read('keyFile', keyFile, true)
  const clientCa = clientCaFile === undefined ? undefined : read('clientCaFile', clientCaFile, false)
  const parsed = certificate === undefined ? undefined : certificateOf(certificate)
  const parsedKey = key === undefined ? undefined : keyOf(key)
  if (certificate !== undefined && parsed === undefined) report([...path, 'certificateFile'], `${certificateFile} holds no certificate`, 'write the certificate and the chain that vouches for it as PEM, the certificate first')
  if (key !== undefined && parsedKey === undefined) report([...path, 'keyFile'], `${keyFile} holds no private key that can be read`, 'write the key as PEM, without a passphrase')
  if (clientCa !== undefined && certificateOf(clientCa) === undefined) report([...path, 'clientCaFile'], `${clientCaFile} holds no certificate`, 'write the authority\'s certificate as PEM')
  if (certificate === undefined || key === undefined || parsed === undefined || parsedKey === undefined) return undefined
  if (!parsed.checkPrivateKey(parsedKey)) {
    report([...path, 'keyFile'], `the key in ${keyFile} doesn't belong to the certificate in ${certificateFile}`, 'name the key that the certificate was made for; perhaps one of the two files is from before it was renewed')
    return undefined
  }
  return { certificate, key, clientCa, notBeforeMs: parsed.validFromDate.getTime(), notAfterMs: parsed.validToDate.getTime() }
}
