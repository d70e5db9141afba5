// A copy of the registry's file while it is in use, as of one moment.
import { existsSync } from 'node:fs'
import { DatabaseSync, backup } from 'node:sqlite'
import { reading } from './database.ts'

const busyTimeoutMs = 5_000

/** Makes `target`; does nothing where there is no registry. */
export async function copyRegistry (file: string, target: string): Promise<void> {
  if (!existsSync(file)) return
  const database = reading(file, () => new DatabaseSync(file, { readOnly: true, timeout: busyTimeoutMs }))
  try { await backup(database, target) } finally { database.close() }
}
