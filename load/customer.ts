// A member of bin/load's own with its keys, made over the admin API of a gateway, and its bill.
import { Agent, request } from 'undici'
import type { Deployed } from './inventory.ts'

export interface LoadKey { readonly apiKeyId: number, readonly token: string }

export interface Customer {
  readonly memberId: number
  readonly keys: readonly LoadKey[]
  /** Billed requests by key, as one billing server has them. */
  readonly billed: (billingUrl: string) => Promise<ReadonlyMap<number, number>>
}

const dayMs = 86_400_000

export async function makeCustomer (deployed: Deployed, keyCount: number): Promise<Customer> {
  const dispatcher = new Agent({ connect: { ca: deployed.ca } })
  const operatorUrl = deployed.gateways[0]?.operatorUrl ?? ''
  const create = async <Result>(what: string, content: Readonly<Record<string, unknown>>): Promise<Result> => {
    const answer = await request(`${operatorUrl}/admin/v1/${what}`, { dispatcher, method: 'POST', headers: { authorization: `Bearer ${deployed.adminToken}`, 'content-type': 'application/json' }, body: JSON.stringify(content) })
    const text = await answer.body.text()
    if (answer.statusCode !== 201) throw new Error(`${operatorUrl} made no ${what}: ${answer.statusCode} ${text}`)
    return JSON.parse(text) as Result
  }
  try {
    const startMs = Date.now()
    const { memberId } = await create<{ readonly memberId: number }>('members', { name: `bin/load ${new Date(startMs).toISOString()}` })
    const keys: LoadKey[] = []
    while (keys.length < keyCount) keys.push(await create<LoadKey>('keys', { memberId, grade: 'GRADE_PREMIUM', label: 'bin/load' }))
    const { token } = await create<{ readonly token: string }>(`members/${memberId}/token`, {})
    return {
      memberId,
      keys,
      billed: async (billingUrl) => {
        const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
        const answer = await request(`${billingUrl}/api/usage/v1/members/${memberId}?from=${day(startMs - dayMs)}&to=${day(Date.now())}&by=key`, { headers: { authorization: `Bearer ${token}` }, headersTimeout: 30_000 })
        const text = await answer.body.text()
        if (answer.statusCode !== 200) throw new Error(`${billingUrl}: ${answer.statusCode} ${text}`)
        const { lines } = JSON.parse(text) as { readonly lines: readonly { readonly apiKeyId: number, readonly count: number }[] }
        return new Map(lines.map(({ apiKeyId, count }) => [apiKeyId, count]))
      }
    }
  } finally {
    await dispatcher.close()
  }
}
