import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'

/** A folder of its own, gone after the test. */
export function temporaryFolder (t: Pick<TestContext, 'after'>, name = 'test'): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), `tollgate-${name}-`))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}
