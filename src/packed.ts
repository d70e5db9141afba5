// Entry of the one file: what bin/tollgate does for a checkout, then main.ts.
import { nativeFolders } from './config/load.ts'
import { useNativeFolders } from './platform/native.ts'

useNativeFolders(nativeFolders())
void import('./main.ts')
