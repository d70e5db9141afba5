// Who a bearer token belongs to.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** @returns whose token a request carries; every token is compared, in the same time whatever it is */
export function openBearerTokens<Owner extends { readonly token: string }> (ownersInForce: () => readonly Owner[]): (request: Pick<IncomingMessage, 'headers'>) => Owner | undefined {
  let owners: readonly Owner[] = []
  let known: readonly { readonly owner: Owner, readonly digest: Buffer }[] = []
  return ({ headers }) => {
    if (owners !== ownersInForce()) {
      owners = ownersInForce()
      known = owners.map((owner) => ({ owner, digest: digestOf(owner.token) }))
    }
    const given = digestOf(/^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? '')?.[1] ?? '')
    let found: Owner | undefined
    for (const { owner, digest } of known) if (timingSafeEqual(digest, given)) found = owner
    return found
  }
}

function digestOf (token: string): Buffer { return createHash('sha256').update(token).digest() }
