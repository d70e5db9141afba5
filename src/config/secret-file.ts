// Secrets are read from files that only their owner, or a group of trusted services, can read.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { secretFileBytesMax } from './limits.ts'

const worldBits = 0o007
const groupWriteBit = 0o020

export interface FileProblem { readonly message: string, readonly remedy: string }

/** The file's text without the line break at its end. */
export function readSecretFile (file: string): { readonly secret: string } | FileProblem {
  return withFile(file, (descriptor, stat) => {
    const problem = statProblem(file, stat, { isSecret: true })
    if (problem !== undefined) return problem
    if (stat.size > secretFileBytesMax) return { message: `${file} has ${stat.size} bytes`, remedy: `a secret's file has at most ${secretFileBytesMax}` }
    let secret: string
    try { secret = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(descriptor)).replace(/\r?\n$/, '') } catch (error) {
      return { message: `${file} holds no text`, remedy: `write the secret as UTF-8 text (${(error as Error).message})` }
    }
    return /[\0-\x1f\x7f]/.test(secret) ? { message: `${file} holds more than one line, or control characters`, remedy: 'put the secret on one line and nothing else into the file' } : { secret }
  })
}

/** Why a file that another part will read can't be used. `isSecret`: others mustn't be able to read it. */
export function fileProblem (file: string, options: { readonly isSecret: boolean }): FileProblem | undefined {
  return withFile(file, (_, stat) => statProblem(file, stat, options))
}

function withFile<Result> (file: string, use: (descriptor: number, stat: Stats) => Result): Result | FileProblem {
  let descriptor: number
  try { descriptor = openSync(file, 'r') } catch (error) {
    return { message: `${file} can't be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, remedy: 'create it, or give the user that runs Tollgate the right to read it' }
  }
  try { return use(descriptor, fstatSync(descriptor)) } finally { closeSync(descriptor) }
}

function statProblem (file: string, stat: Stats, { isSecret }: { readonly isSecret: boolean }): FileProblem | undefined {
  if (!stat.isFile()) return { message: `${file} is no file`, remedy: 'name a file' }
  if (!isSecret || (stat.mode & (worldBits | groupWriteBit)) === 0) return undefined
  return { message: `${file} is open to other users (mode ${(stat.mode & 0o777).toString(8).padStart(4, '0')})`, remedy: `run: chmod 600 ${file}` }
}
