// The one file and its units under a real systemd: start, log, reload, a stuck thread, stop, and what is kept over all that.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import process from 'node:process'
import { test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { ownTarget, packedFile } from '../helpers/packed-file.ts'
import { bootMachine } from '../helpers/systemd-machine.ts'

const configuration = `gateway:
  listen: { host: 127.0.0.1, port: 80 }
  upstreams:
    main: { url: "http://127.0.0.1:9000" }
  routes:
    - { id: api, path: "/api/**", upstream: main }
auth:
  secrets: [{ kid: one, secretFile: the-unit-sets-this }]
billing:
  priceBookFile: prices.yaml
journal: { bytesMax: 512MiB }
`
const asUser = 'cd / && runuser -u tollgate -- env TOLLGATE_CONFIG=/etc/tollgate/tollgate.yaml TOLLGATE_STATE=/var/lib/tollgate TOLLGATE_AUTH__SECRETS__0__SECRET_FILE=/run/credentials/tollgate.service/api.secret'

test('a life under systemd', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('only root can boot a container')
    return
  }
  const { run, hostPid } = await bootMachine(t, { file: packedFile(ownTarget), configuration })
  const show = (name: string): string => run(`systemctl show tollgate -p ${name} --value`).trim()

  run('systemctl start tollgate')
  assert.equal(show('ActiveState'), 'active', 'started means that it serves')
  assert.equal(show('StatusText'), 'serves')
  assert.match(run(`${asUser} tollgate member create --name Ada`), /member 1/)
  const warnings = run('journalctl -u tollgate -p warning -o cat --no-pager')
  assert.match(warnings, /operatorTokens is empty/)
  assert.doesNotMatch(warnings, /Tollgate serves/, 'levels are the journal\'s own')
  assert.equal(run('stat -c %a:%U /var/lib/tollgate /var/cache/tollgate'), '700:tollgate\n700:tollgate\n')

  run('systemctl reload tollgate')
  assert.equal(show('ActiveState'), 'active')

  const pid = hostPid('tollgate')
  const journal = readdirSync(`/proc/${pid}/task`).find((task) => readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').trim() === 'journal')
  assert.ok(journal !== undefined, 'the journal has a thread')
  const stick = spawn('strace', ['-qq', '-o', '/dev/null', '-p', journal, '-e', 'inject=futex:delay_enter=600000000'], { stdio: 'ignore' })
  t.after(() => { stick.kill('SIGKILL') })
  await eventually('the watchdog has found the stuck thread', () => Promise.resolve(run('journalctl -u tollgate -o cat --no-pager').includes('Watchdog timeout')), { withinMs: 120_000, everyMs: 500 })
  // What strace holds can't die.
  stick.kill('SIGKILL')
  await eventually('systemd has started it again', () => Promise.resolve(show('NRestarts') === '1' && show('ActiveState') === 'active'), { withinMs: 120_000, everyMs: 500 })
  assert.match(run('journalctl -u tollgate -p warning -o cat --no-pager'), /"parts":\["journal"\]/, 'the log names the thread')
  assert.match(run(`${asUser} tollgate member list`), /Ada/, 'what it knew it knows')

  run('systemctl stop tollgate')
  assert.equal(show('Result'), 'success')
  assert.match(run('journalctl -u tollgate -o cat --no-pager'), /stopping: no new requests/)
})
