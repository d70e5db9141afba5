// Certificates of a test's own authority, made by openssl: nobody outside the test trusts it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'

export interface CertificateFiles { readonly certificateFile: string, readonly keyFile: string }

export interface Authority {
  readonly folder: string
  readonly caFile: string
  readonly ca: string
  /** For localhost and 127.0.0.1. @param days negative: it has expired */
  readonly issue: (name: string, days?: number) => CertificateFiles
}

export function openAuthority (t: Pick<TestContext, 'after'>, name = 'authority of a test'): Authority {
  const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-certificates-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  const openssl = (...words: string[]): void => { execFileSync('openssl', words, { cwd: folder, stdio: 'ignore' }) }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-subj', `/CN=${name}`)
  writeFileSync(path.join(folder, 'names.cnf'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  return {
    folder,
    caFile: path.join(folder, 'ca.pem'),
    ca: readFileSync(path.join(folder, 'ca.pem'), 'utf8'),
    issue: (subject, days = 30) => {
      openssl('req', ...newKey, '-keyout', `${subject}.key`, '-out', `${subject}.csr`, '-subj', `/CN=${subject}`)
      openssl('x509', '-req', '-in', `${subject}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', `${subject}.pem`, '-days', String(days), '-extfile', 'names.cnf')
      return { certificateFile: path.join(folder, `${subject}.pem`), keyFile: path.join(folder, `${subject}.key`) }
    }
  }
}
