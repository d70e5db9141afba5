// Settings that must fit together: each rule with the sentence that says why. A rule that only makes trouble likely warns.
import { gradeTypes } from '../domain/usage-event.ts'
import { eventBytesTypical, eventFrameBytesMax, framePartitionBytes, journalSegmentsMin, memoryShareMax, segmentUnitBytes } from './limits.ts'
import type { Machine } from './machine.ts'
import { checkCluster } from './relations-cluster.ts'
import type { Checked } from './problem.ts'
import type { Role } from './role.ts'
import type { Config } from './schema.ts'
import { formatSize, roundSize } from './size-text.ts'

export interface RelationOptions { readonly roles: readonly Role[], readonly machine: Machine, readonly checked: Checked }

/** A rule is judged where all that it needs is sound by itself; no `auto` is left. */
export function checkRelations (config: Config, { roles, machine, checked }: RelationOptions): void {
  const isSound = (...sections: readonly string[]): boolean => sections.every((section) => checked.isSound(section.split('.')))
  if (isSound('grades')) checkTokens(config, checked)
  if (isSound('gateway.inFlightMax', 'gateway.workers', 'journal', 'archive', 'metering')) checkJournal(config, machine, checked)
  if (isSound('gateway.listen', 'billing.listen', 'billing.privateListen', 'operator')) checkListeners(config, checked)
  checkCluster(config, roles, checked)
  if (isSound('auth.secrets', 'billing.operatorTokens', 'operator.tokens', 'operator.admins')) checkSecrets(config, checked)
  if (roles.includes('gateway') && isSound('gateway', 'auth')) checkGatewayRole(config, checked)
  if (roles.includes('billing') && isSound('billing')) checkBillingRole(config, checked)
  if (isSound('gateway.workers', 'journal', 'aggregator', 'ledger', 'limiter')) checkMemory(config, roles, machine, checked)
}

function checkTokens ({ gateway, grades }: Config, { report, isSound }: Checked): void {
  for (const [at, route] of gateway.routes.entries()) {
    if (!isSound(['gateway', 'routes', at])) continue
    const small = gradeTypes.filter((grade) => grades[grade].burst < route.requestedTokens)
    if (small.length > 0 && !route.isPublic) report(['gateway', 'routes', at, 'requestedTokens'], `${route.requestedTokens} tokens are more than the burst of ${small.join(', ')}`, 'a request that costs more than a full bucket could never be let through: lower it, or raise the burst under `grades`')
  }
}

function checkJournal ({ gateway, journal, archive, metering, kafka, usageLog }: Config, machine: Machine, { report, warn }: Checked): void {
  const { bytesMax, segmentBytes, ringBytes, refusedBytesMax } = journal
  const inFlightMax = gateway.inFlightMax * gateway.workers
  const frameBytesMax = eventFrameBytesMax + (kafka === undefined ? 0 : Math.ceil(usageLog.partitions * framePartitionBytes / segmentUnitBytes) * segmentUnitBytes)
  const bytesMin = Math.ceil(inFlightMax * frameBytesMax / segmentBytes) * segmentBytes + journalSegmentsMin * segmentBytes
  if (segmentBytes % segmentUnitBytes !== 0) report(['journal', 'segmentBytes'], `${formatSize(segmentBytes)} is no multiple of ${formatSize(segmentUnitBytes)}`, 'a segment is written in the disk\'s blocks: write a size such as 64MiB')
  if (bytesMax < bytesMin) report(['journal', 'bytesMax'], `${formatSize(bytesMax)} is less than ${formatSize(bytesMin)}: ${journalSegmentsMin} segments of ${formatSize(segmentBytes)} and room for the events of ${inFlightMax} requests in flight`, 'what is in flight must find room when it is answered: raise it (free the disk, if it is `auto`), or lower `journal.segmentBytes` or `gateway.inFlightMax`')
  if (!Number.isInteger(Math.log2(ringBytes))) report(['journal', 'ringBytes'], `${formatSize(ringBytes)} is no power of two`, 'positions in the ring are counted modulo its size: write 512KiB, 1MiB, 2MiB …')
  if (refusedBytesMax > bytesMax / 2) report(['journal', 'refusedBytesMax'], `${formatSize(refusedBytesMax)} is more than half of the journal`, 'a flood of refused requests must leave room for paid ones: lower it')
  if (bytesMax > machine.freeDiskBytes + machine.journalBytes) warn(`journal.bytesMax is ${roundSize(bytesMax)}, but the disk has only ${roundSize(machine.freeDiskBytes)} free: it may fill up before the journal's bound is reached (clients get G0010 then)`)
  if (archive.flushEventsMax * eventBytesTypical > bytesMax / 2) warn(`archive.flushEventsMax of ${archive.flushEventsMax} events may take more than half of the journal (${formatSize(bytesMax)}), which keeps events until they are archived: lower it or raise journal.bytesMax`)
  if (metering.ack === 'buffered') warn(`metering.ack is buffered: a power cut may lose the usage of the last ${metering.bufferedIntervalMs} ms`)
}

function checkListeners ({ gateway, billing, operator }: Config, { report }: Checked): void {
  const listeners = [
    { path: ['gateway', 'listen'], listen: gateway.listen }, { path: ['billing', 'listen'], listen: billing.listen },
    { path: ['billing', 'privateListen'], listen: billing.privateListen }, { path: ['operator', 'listen'], listen: operator.listen }
  ]
  const isEvery = (host: string): boolean => host === '0.0.0.0' || host === '::'
  for (const [at, { path, listen }] of listeners.entries()) {
    const other = listeners.slice(0, at).find((earlier) => earlier.listen.port === listen.port && (earlier.listen.host === listen.host || isEvery(earlier.listen.host) || isEvery(listen.host)))
    if (other !== undefined) report([...path, 'port'], `${listen.port} is the port of ${other.path.join('.')} too`, 'what each listener serves is for other people: give each a port of its own')
  }
}

function checkSecrets ({ auth, billing, operator }: Config, { report }: Checked): void {
  const kids = auth.secrets.map(({ kid }) => kid)
  for (const [at, kid] of kids.entries()) {
    if (kid !== undefined && kids.indexOf(kid) !== at) report(['auth', 'secrets', at, 'kid'], `\`${kid}\` is there twice`, 'a token\'s `kid` selects one secret: give each a name of its own')
  }
  for (const [path, tokens] of [[['billing', 'operatorTokens'], billing.operatorTokens], [['operator', 'tokens'], operator.tokens], [['operator', 'admins'], operator.admins]] as const) {
    const names = tokens.map(({ name }) => name)
    for (const [at, name] of names.entries()) {
      if (names.indexOf(name) !== at) report([...path, at, 'name'], `\`${name}\` is there twice`, 'the log tells users apart by it: give each a name of its own')
    }
  }
}

function checkGatewayRole ({ gateway, auth }: Config, { report, warn }: Checked): void {
  if (gateway.routes.length === 0) report(['gateway', 'routes'], 'no route', 'a gateway without a route answers everything with G0007: add one, such as `- { id: api, path: "/**", upstream: main }`')
  const needsKeys = gateway.routes.some((route) => !route.isPublic)
  if (needsKeys && auth.secrets.length === 0) report(['auth', 'secrets'], 'no secret', 'without one no API key could be checked: add `- secretFile: api.secret`')
  const slowest = Math.max(0, ...Object.values(gateway.upstreams).map((upstream) => upstream.responseTimeoutMs))
  if (gateway.stopTimeoutMs < slowest) warn(`gateway.stopTimeoutMs is ${gateway.stopTimeoutMs}, but an upstream may take ${slowest} ms: a stop may cut answers that are still to come`)
}

function checkBillingRole ({ billing }: Config, { warn }: Checked): void {
  if (billing.memberSecret === undefined) warn('billing.memberSecret isn\'t given: no member can read charges')
  if (billing.operatorTokens.length === 0) warn('billing.operatorTokens is empty: nobody can use the private endpoints')
}

function checkMemory (config: Config, roles: readonly Role[], machine: Machine, { warn }: Checked): void {
  const { gateway, journal, aggregator, ledger, limiter } = config
  const limiterKeyBytes = 64
  const sum = (roles.includes('gateway') ? gateway.workers * journal.ringBytes + limiter.keysMax * limiterKeyBytes : 0) +
    (roles.includes('aggregator') ? aggregator.memoryBytesMax : 0) + (roles.includes('billing') ? ledger.memoryBytesMax : 0)
  if (sum > machine.memoryBytes * memoryShareMax) warn(`the configured bounds of memory add up to ${roundSize(sum)} of ${roundSize(machine.memoryBytes)}: lower aggregator.memoryBytesMax or ledger.memoryBytesMax`)
}
