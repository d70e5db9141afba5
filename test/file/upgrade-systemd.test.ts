// Upgrade and downgrade under a real systemd, with traffic on: the file is replaced, the unit restarted, twice. The unit drains
// and is ready again by its own word, all within its memory limit, and the bill is what clients were answered.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { version } from '../../src/platform/version.ts'
import { holdToMemory } from '../helpers/memory-group.ts'
import type { MemoryGroup } from '../helpers/memory-group.ts'
import { archivedByTrace, wronglyBilled } from '../helpers/oracle-archive.ts'
import { laterFile, laterVersion } from '../helpers/other-builds.ts'
import { ownTarget, packedFile } from '../helpers/packed-file.ts'
import type { Memory } from '../helpers/remembering-client.ts'
import { bootMachine } from '../helpers/systemd-machine.ts'
import type { SystemdMachine } from '../helpers/systemd-machine.ts'

const configuration = `gateway:
  listen: { host: 127.0.0.1, port: 80 }
  upstreams:
    main: { url: "http://127.0.0.1:9000" }
  routes:
    - { id: api, path: "/api/**", upstream: main, trustTraceId: true }
auth:
  secrets: [{ kid: one, secretFile: the-unit-sets-this }]
grades:
  GRADE_PREMIUM: { ratePerS: 1000000, burst: 1000000 }
billing:
  priceBookFile: prices.yaml
journal: { bytesMax: 512MiB }
`
const asUser = 'cd / && runuser -u tollgate -- env TOLLGATE_CONFIG=/etc/tollgate/tollgate.yaml TOLLGATE_STATE=/var/lib/tollgate TOLLGATE_AUTH__SECRETS__0__SECRET_FILE=/run/credentials/tollgate.service/api.secret'

interface Traffic { readonly answered: (more: number) => Promise<void>, readonly end: () => Promise<readonly Memory[]> }

function startTraffic (t: TestContext, machine: SystemdMachine, token: string): Traffic {
  const script = path.resolve(import.meta.dirname, '../helpers/inside-traffic.ts')
  const child = spawn('nsenter', ['-t', machine.leader(), '-n', process.execPath, '--disable-warning=ExperimentalWarning', script, '9000', '80', token], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => { child.kill('SIGKILL') })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the clients have ended')
    return value
  }
  const count = async (): Promise<number> => {
    child.stdin.write('?\n')
    return Number(await next())
  }
  return {
    answered: async (more) => {
      const least = await count() + more
      while (await count() < least) await new Promise((resolve) => { setTimeout(resolve, 20) })
    },
    end: async () => {
      child.stdin.end()
      return JSON.parse(await next()) as readonly Memory[]
    }
  }
}

/** The unit's limit was the kernel's, it was enough, and it is one. */
function checkMemoryLimit (t: TestContext, { run }: SystemdMachine, { memoryMax, group }: { readonly memoryMax: number, readonly group: MemoryGroup | undefined }): void {
  if (group === undefined) {
    const own = '/sys/fs/cgroup/system.slice/tollgate.service'
    assert.equal(run(`cat ${own}/memory.max`).trim(), String(memoryMax))
    assert.match(run(`cat ${own}/memory.events`), /^oom_kill 0$/m)
    return
  }
  assert.equal(group.kills(), 0, 'traffic, upgrade and downgrade stay below the limit')
  t.diagnostic(`note: at most ${Math.round(group.peakBytes() / 2 ** 20)} of ${memoryMax / 2 ** 20} MiB, files in memory included`)
  const process = run('systemctl show tollgate -p MainPID --value')
  assert.throws(() => run('systemd-run --quiet --wait tail /dev/zero'), 'what takes all memory is killed')
  assert.equal(group.kills(), 1)
  assert.equal(run('systemctl show tollgate -p MainPID --value'), process, 'and Tollgate goes on')
}

test('up and down under systemd, with traffic on: the bill is what clients were answered', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('only root can boot a container')
    return
  }
  const builds = { own: packedFile(ownTarget), later: laterFile(t) }
  const machine = await bootMachine(t, { file: builds.own, configuration })
  const { run } = machine
  const show = (name: string): string => run(`systemctl show tollgate -p ${name} --value`).trim()
  const memoryMax = Number(show('MemoryMax'))
  assert.equal(memoryMax, 1800 * 2 ** 20)
  const group = holdToMemory(t, machine, memoryMax)
  run('systemctl start tollgate')
  run(`${asUser} tollgate member create --name Ada`)
  const { token } = JSON.parse(run(`${asUser} tollgate key create --member 1 --grade GRADE_PREMIUM --json`)) as { readonly token: string }
  const traffic = startTraffic(t, machine, token)
  const changeTo = async (file: string, expected: string): Promise<void> => {
    await traffic.answered(200)
    machine.installFile(file)
    run('systemctl restart tollgate')
    assert.equal(show('ActiveState'), 'active', 'the restart ends when it serves')
    assert.match(run('tollgate version'), new RegExp(`^tollgate ${expected} `))
  }
  await changeTo(builds.later, laterVersion)
  assert.equal(show('Result'), 'success', 'the one before stopped in order')
  await changeTo(builds.own, version)
  await traffic.answered(200)
  checkMemoryLimit(t, machine, { memoryMax, group })
  const memories = await traffic.end()
  assert.match(run(`${asUser} tollgate verify --wait 60`), /ok/)
  const today = new Date().toISOString().slice(0, 10)
  const { total } = JSON.parse(run(`${asUser} tollgate bill --member 1 --from ${new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)} --to ${today} --json`)) as { readonly total: { readonly count: number } }
  run('systemctl stop tollgate')
  const archived = await archivedByTrace([path.join(machine.system, 'var/lib/tollgate')])
  assert.deepEqual(wronglyBilled(memories, archived), [])
  assert.equal(total.count, [...archived.values()].reduce((sum, { billable }) => sum + billable, 0))
  const complete = memories.filter(({ outcome }) => outcome === 'complete').length
  assert.ok(complete >= 600, `${complete}`)
  t.diagnostic(`note: ${complete} answers, ${memories.length - complete} cut or not sent while the file was changed`)
})
