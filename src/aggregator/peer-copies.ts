// Copies of finished files on other machines: an archive on one disk alone dies with it, so the brokers may only delete
// what enough machines hold. Files are brought to the peers in their order, again and again until they have them; a peer
// is asked first whether it has a file of that hash. What is lost with a disk,
// copies that a peer kept or files of its own, is brought again by who still has it.
import { createReadStream } from 'node:fs'
import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { sha256OfFile } from '../platform/durable-file.ts'
import type { Logger } from '../platform/logger.ts'
import { partitionFolder } from './cluster-folders.ts'
import { openCopyRepair } from './copy-repair.ts'
import type { FinishedFolder } from './copy-repair.ts'
import type { FileKind } from './files-for-others.ts'
import { aggregatorFolders } from './folders.ts'
import type { ArchivedFiles } from './retention.ts'

export interface PeerAddress {
  /** Of its operator listener. */
  readonly url: string
  readonly token: string
  /** PEM text of the authority that signed its certificate. */
  readonly ca?: string | undefined
}

export interface PeerCopiesOptions {
  readonly ownerName: string
  readonly stateFolder: string
  readonly peers: readonly PeerAddress[]
  /** Machines that must have each file, this one included. */
  readonly copies: number
  readonly monotonicMs: () => number
  readonly log: Logger
}

export interface PeerCopies {
  /** True when enough peers have all of them. */
  readonly bring: (files: ArchivedFiles) => Promise<boolean>
  /** Looks at all finished files here, copies included, and brings those that too few machines name; a peer that can't be asked may have all of them. @returns how many flushes and segments were brought */
  readonly repair: () => Promise<number>
  /** Files brought, and attempts that failed. */
  readonly counts: () => { readonly brought: number, readonly failures: number }
  readonly close: () => void
}

/** The header that names the content's hash. */
export const copyHashHeader = 'x-content-sha256'
const silenceMsMax = 30_000
/** A peer that failed is asked after the others for so long: a silent one costs each file half a minute. */
const avoidedMs = 60_000

interface Peer { readonly url: string, /** Of what it keeps there. */ readonly names: (path: string) => Promise<ReadonlySet<string>>, /** Whether it has a file of this hash. */ readonly has: (path: string, sha256: string) => Promise<boolean>, readonly put: (path: string, file: string, sha256: string) => Promise<void>, readonly close: () => void, problem: string | undefined, avoidedUntilMs: number }

export function openPeerCopies ({ ownerName, stateFolder, peers: addresses, copies, monotonicMs, log }: PeerCopiesOptions): PeerCopies {
  const peers = addresses.map(openPeer)
  let brought = 0
  let failures = 0

  const isAvoided = ({ avoidedUntilMs }: Peer): number => Number(monotonicMs() < avoidedUntilMs)
  const bringFile = async (source: FinishedFolder, file: string): Promise<boolean> => {
    const sha256 = await sha256OfFile(file)
    const at = `${copiesOf(source)}/${namedAs(source.folder, file)}`
    let having = 1
    for (const peer of peers.toSorted((a, b) => isAvoided(a) - isAvoided(b))) {
      if (having >= copies) break
      try {
        if (!await peer.has(at, sha256)) {
          await peer.put(at, file, sha256)
          brought++
        }
        having++
        if (peer.problem !== undefined) log.info({ peer: peer.url }, 'copies reach this peer again')
        Object.assign(peer, { problem: undefined, avoidedUntilMs: -Infinity })
      } catch (error) {
        failures++
        const { message } = error as Error
        if (peer.problem !== message) log.warn({ peer: peer.url, file, error }, 'a copy could not be brought to this peer; it is tried again, and what Kafka still has of it stays there until then')
        peer.problem = message
        peer.avoidedUntilMs = monotonicMs() + avoidedMs
      }
    }
    return having >= copies
  }

  const bring = async (source: FinishedFolder, files: readonly string[]): Promise<boolean> => {
    for (const file of files) if (!await bringFile(source, file)) return false
    return true
  }

  const namesAtPeers = async (source: FinishedFolder, kind: FileKind): Promise<(ReadonlySet<string> | undefined)[]> =>
    await Promise.all(peers.map(async (peer) => await peer.names(`${copiesOf(source)}/${kind}`).catch(() => undefined)))
  const repair = openCopyRepair({ ownerName, stateFolder, copies, namesAtPeers, bring, log })

  return {
    bring: async ({ partition, files }) => await bring({ owner: ownerName, partition, folder: partitionFolder(stateFolder, partition) }, files),
    repair: repair.run,
    counts: () => ({ brought, failures }),
    close: () => { repair.stop(); for (const peer of peers) peer.close() }
  }
}

function copiesOf ({ owner, partition }: FinishedFolder): string { return `/copies/${encodeURIComponent(owner)}/partition-${partition}` }

/** `archive/date=…/hour=…/….parquet`, `segment/…` or `flush/…`. */
function namedAs (folder: string, file: string): string {
  const { archive, segments, flushes } = aggregatorFolders(folder)
  // Records of flushes lie in a folder of the archive.
  const within: readonly (readonly [FileKind, string])[] = [['flush', flushes], ['segment', segments], ['archive', archive]]
  const found = within.find(([, parent]) => file.startsWith(parent + path.sep))
  if (found === undefined) throw new Error(`${file} is no finished file of ${folder}`)
  const [kind, parent] = found
  return `${kind}/${path.relative(parent, file).split(path.sep).map(encodeURIComponent).join('/')}`
}

function isGood (status: number): boolean { return status >= 200 && status < 300 }

function openPeer ({ url, token, ca }: PeerAddress): Peer {
  const base = url.replace(/\/$/, '')
  const isTls = base.startsWith('https:')
  const agent = isTls ? new HttpsAgent({ keepAlive: true, maxSockets: 1, ...(ca === undefined ? {} : { ca }) }) : new HttpAgent({ keepAlive: true, maxSockets: 1 })
  const ask = (method: 'GET' | 'HEAD' | 'PUT', at: string, headers: Record<string, string>, send: (asked: ClientRequest) => void): Promise<IncomingMessage> => new Promise((resolve, reject) => {
    const options = { method, agent, timeout: silenceMsMax, headers: { authorization: `Bearer ${token}`, ...headers } }
    const asked = isTls ? requestHttps(base + at, options) : requestHttp(base + at, options)
    asked.once('response', resolve)
    asked.once('timeout', () => { asked.destroy(new Error('it is silent')) })
    asked.once('error', reject)
    send(asked)
  })
  const end = (asked: ClientRequest): void => { asked.end() }
  const has = async (at: string, sha256: string): Promise<boolean> => isGood(await statusOf(await ask('HEAD', at, { [copyHashHeader]: sha256 }, end)))
  const put = async (at: string, file: string, sha256: string): Promise<void> => {
    const response = await ask('PUT', at, { [copyHashHeader]: sha256 }, (asked) => {
      const content = createReadStream(file)
      content.once('error', (error) => { asked.destroy(error) })
      content.pipe(asked)
    })
    const status = await statusOf(response)
    if (!isGood(status)) throw new Error(`it answers ${status}`)
  }
  const names = async (at: string): Promise<ReadonlySet<string>> => {
    const response = await ask('GET', at, {}, end)
    if (!isGood(response.statusCode ?? 0)) throw new Error(`it answers ${await statusOf(response)}`)
    const found = new Set<string>()
    for await (const line of createInterface({ input: response })) found.add(JSON.parse(line) as string)
    if (!response.complete) throw new Error('the answer was cut')
    return found
  }
  return { url: base, names, has, put, close: () => { agent.destroy() }, problem: undefined, avoidedUntilMs: -Infinity }
}

/** When its body, which says nothing, is over. */
async function statusOf (response: IncomingMessage): Promise<number> {
  response.resume()
  await new Promise((resolve) => { response.once('close', resolve) })
  return response.statusCode ?? 0
}
