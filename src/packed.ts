// Entry of the one file: what bin/tollgate does for a checkout, then main.ts.
import process from 'node:process'
import { environmentWithFewArenas, nativeFolders } from './config/load.ts'
import { useNativeFolders } from './platform/native.ts'

// The C library reads its settings before anything of ours runs: the program starts itself once more, with the same process id.
const environment = process.argv[2] === 'run' ? environmentWithFewArenas() : undefined
if (environment !== undefined) process.execve?.(process.execPath, [process.argv0, ...process.argv.slice(2)], environment)

useNativeFolders(nativeFolders())
void import('./main.ts')
