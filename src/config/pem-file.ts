// Certificates and keys in PEM files that the configuration names: read once, with it, and looked at before anybody serves by them.
import { X509Certificate, createPrivateKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { configFileBytesMax } from './limits.ts'
import type { Checked, Path } from './problem.ts'
import { fileProblem } from './secret-file.ts'
import { readTextFile } from './text-file.ts'

/** The file's text; undefined, and reported at `path`, where it can't be used. `isSecret`: others mustn't be able to read it. */
export function readPemFile (path: Path, file: string, { isSecret, report }: { readonly isSecret: boolean, readonly report: Checked['report'] }): string | undefined {
  const problem = fileProblem(file, { isSecret })
  const text = problem === undefined ? readTextFile(file, configFileBytesMax) : undefined
  if (text !== undefined && 'text' in text) return text.text
  report(path, problem?.message ?? `${file} ${text?.message}`, problem?.remedy ?? text?.remedy ?? '')
  return undefined
}

/** Of a client that shows a certificate of its own. */
export function checkPair (path: Path, { certificateFile, keyFile }: { readonly certificateFile?: string | undefined, readonly keyFile?: string | undefined }, report: Checked['report']): void {
  if ((certificateFile === undefined) !== (keyFile === undefined)) report(path, 'a certificate without a key, or the reverse', 'give both `certificateFile` and `keyFile`, or neither')
}

export function certificateOf (pem: string): X509Certificate | undefined {
  try { return new X509Certificate(pem) } catch { return undefined }
}

export function keyOf (pem: string): KeyObject | undefined {
  try { return createPrivateKey(pem) } catch { return undefined }
}
