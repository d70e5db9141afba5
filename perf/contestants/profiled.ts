// Loaded into every thread of a Tollgate whose time is to be divided among stages: the gateway's first worker profiles itself
// from when the file START appears in the folder BENCH_PROFILE until STOP does, and leaves PROFILE there.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import path from 'node:path'
import process from 'node:process'
import { isMainThread, workerData } from 'node:worker_threads'

const pollMs = 20
const sampleIntervalUs = 250

const folder = process.env['BENCH_PROFILE']
if (!isMainThread && folder !== undefined && (workerData as { readonly name?: string } | null)?.name === 'gateway-0') void profile(folder)

async function profile (folder: string): Promise<void> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: sampleIntervalUs })
  await appears(path.join(folder, 'START'))
  await session.post('Profiler.start')
  await appears(path.join(folder, 'STOP'))
  const result = await session.post('Profiler.stop')
  const file = path.join(folder, 'PROFILE')
  writeFileSync(`${file}.part`, JSON.stringify(result.profile))
  renameSync(`${file}.part`, file)
}

function appears (file: string): Promise<void> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!existsSync(file)) return
      clearInterval(timer)
      resolve()
    }, pollMs)
    timer.unref()
  })
}
