// Load on a deployed cluster, and the proof: each key's whole answers, as the client counted them, are what every billing
// server charges for. A request whose answer was cut may have been billed or not; where none was, the two numbers are equal.
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { makeCustomer } from './customer.ts'
import type { Customer, LoadKey } from './customer.ts'
import { readInventory } from './inventory.ts'
import type { Deployed } from './inventory.ts'
import { Outcome, drive } from './traffic.ts'

const billWaitS = 180
const exitCodes = { exact: 0, wrong: 1, usage: 2 } as const

interface Asked { readonly inventory: string, readonly ratePerS: number, readonly seconds: number, readonly keys: number, readonly gateways: readonly string[] | undefined, readonly path: string | undefined, readonly billWaitS: number, readonly isJson: boolean }

export interface KeyResult { readonly apiKeyId: number, readonly answered: number, readonly unanswered: number, readonly unconnected: number, readonly refused: number, readonly billed: readonly (number | string)[], readonly isExact: boolean }

function readArguments (argv: readonly string[]): Asked | string {
  let values
  try {
    values = parseArgs({
      args: [...argv],
      options: { inventory: { type: 'string' }, rate: { type: 'string' }, seconds: { type: 'string' }, keys: { type: 'string' }, gateways: { type: 'string' }, path: { type: 'string' }, wait: { type: 'string' }, json: { type: 'boolean' } }
    }).values
  } catch (error) { return (error as Error).message }
  const number = (name: 'rate' | 'seconds' | 'keys' | 'wait', text: string | undefined): number => {
    if (text === undefined || !/^[1-9]\d{0,5}$/.test(text)) throw new Error(`--${name} is a whole number from 1 on`)
    return Number(text)
  }
  if (values.inventory === undefined) return '--inventory FILE says where'
  try {
    return { inventory: values.inventory, ratePerS: number('rate', values.rate), seconds: number('seconds', values.seconds), keys: number('keys', values.keys ?? '4'), gateways: values.gateways?.split(','), path: values.path, billWaitS: number('wait', values.wait ?? String(billWaitS)), isJson: values.json === true }
  } catch (error) { return (error as Error).message }
}

/** One stream for each key at each gateway; together they have the rate asked for, each one a second at least. */
async function sendAll (deployed: Deployed, keys: readonly LoadKey[], asked: Asked): Promise<ReadonlyMap<number, Outcome>> {
  const outcomes = new Map(keys.map(({ apiKeyId }) => [apiKeyId, new Outcome()]))
  const streams = keys.flatMap((key) => deployed.gateways.map(({ url }) => ({ key, url })))
  await Promise.all(streams.map(async ({ key, url }, index) => {
    const ratePerS = Math.max(1, Math.floor(asked.ratePerS / streams.length) + (index < asked.ratePerS % streams.length ? 1 : 0))
    outcomes.get(key.apiKeyId)?.add(await drive({ url, path: asked.path ?? deployed.path, token: key.token, ratePerS, seconds: asked.seconds }))
  }))
  return outcomes
}

/** Asks every billing server until all say the same as the clients, or the time is over. */
async function compare (deployed: Deployed, customer: Customer, outcomes: ReadonlyMap<number, Outcome>, waitS: number): Promise<KeyResult[]> {
  const endMs = performance.now() + waitS * 1000
  for (;;) {
    const bills = await Promise.all(deployed.billingUrls.map((url) => customer.billed(url).catch((error: unknown) => (error as Error).message)))
    const results = customer.keys.map(({ apiKeyId }): KeyResult => {
      const outcome = outcomes.get(apiKeyId) ?? new Outcome()
      const billed = bills.map((bill) => typeof bill === 'string' ? bill : bill.get(apiKeyId) ?? 0)
      const all = [...outcome.byStatus.values()].reduce((sum, count) => sum + count, 0)
      return {
        apiKeyId,
        answered: outcome.billable,
        unanswered: outcome.unanswered,
        unconnected: outcome.unconnected,
        refused: all - outcome.billable,
        billed,
        isExact: billed.length > 0 && new Set(billed).size === 1 && billed.every((count) => typeof count === 'number' && count >= outcome.billable && count <= outcome.billable + outcome.unanswered)
      }
    })
    if (results.every(({ isExact }) => isExact) || performance.now() > endMs) return results
    await sleep(1_000)
  }
}

function print (deployed: Deployed, results: readonly KeyResult[], isExact: boolean): void {
  const header = ['key', 'answered', 'unanswered', 'unconnected', 'refused', ...deployed.billingUrls.map((_, index) => `billed ${index + 1}`), '']
  const rows = results.map((result) => [String(result.apiKeyId), String(result.answered), String(result.unanswered), String(result.unconnected), String(result.refused), ...result.billed.map(String), result.isExact ? 'exact' : 'WRONG'])
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of [header, ...rows]) process.stdout.write(`${row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')}\n`)
  const sum = (of: (result: KeyResult) => number): number => results.reduce((total, result) => total + of(result), 0)
  process.stdout.write(`\n${isExact ? 'exact' : 'NOT exact'}: ${sum(({ answered }) => answered)} answered, ${sum(({ billed }) => Number(billed[0]))} billed, ${sum(({ unanswered }) => unanswered)} without an answer\n`)
}

async function main (): Promise<number> {
  const asked = readArguments(process.argv.slice(2))
  if (typeof asked === 'string') {
    process.stderr.write(`${asked}\nbin/load --help says more\n`)
    return exitCodes.usage
  }
  const deployed = readInventory(asked.inventory, asked.gateways)
  const customer = await makeCustomer(deployed, asked.keys)
  process.stderr.write(`${customer.keys.length} keys are made; sending ${asked.ratePerS} requests a second for ${asked.seconds} s\n`)
  const results = await compare(deployed, customer, await sendAll(deployed, customer.keys, asked), asked.billWaitS)
  // Nothing answered proves nothing.
  const isExact = results.every((result) => result.isExact && result.answered > 0)
  if (asked.isJson) process.stdout.write(`${JSON.stringify({ isExact, keys: results })}\n`)
  else print(deployed, results, isExact)
  return isExact ? exitCodes.exact : exitCodes.wrong
}

main().then((code) => { process.exitCode = code }, (error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = exitCodes.wrong
})
