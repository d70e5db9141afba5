// Files that are read whole, and so have a bound.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'

/** A whole text file of bounded size. */
export function readTextFile (file: string, bytesMax: number): { readonly text: string } | { readonly message: string, readonly remedy: string } {
  let descriptor: number
  try { descriptor = openSync(file, 'r') } catch (error) {
    return { message: `can't be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, remedy: 'create it, correct its name, or give the user that runs Tollgate the right to read it' }
  }
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) return { message: 'is no file', remedy: 'name a file' }
    if (stat.size > bytesMax) return { message: `has ${stat.size} bytes`, remedy: `at most ${bytesMax} are read` }
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(descriptor)) }
  } catch (error) {
    return { message: `is no text: ${(error as Error).message}`, remedy: 'save it as UTF-8' }
  } finally { closeSync(descriptor) }
}
