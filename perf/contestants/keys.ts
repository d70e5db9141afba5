// Many keys of one member, made as a sign-up service makes them: over the admin API, each on disk before it is used.
import type { Tollgate } from './tollgate.ts'

/** For `startTollgate`: who may make keys. */
export const adminEnv = { TOLLGATE_OPERATOR__ADMINS: '[{ name: bench, role: write, tokenFile: operator.token }]' } as const

/** @returns the tokens */
export async function createKeys ({ files, memberId }: Tollgate, count: number): Promise<string[]> {
  const tokens: string[] = []
  for (let made = 0; made < count; made++) {
    const response = await fetch(`http://127.0.0.1:${files.ports.operator}/admin/v1/keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${files.operatorToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ memberId, grade: 'GRADE_PREMIUM', label: `bench ${made}` })
    })
    if (response.status !== 201) throw new Error(`a key was refused with ${response.status}: ${await response.text()}`)
    tokens.push((await response.json() as { readonly token: string }).token)
  }
  return tokens
}
