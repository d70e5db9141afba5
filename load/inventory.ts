// What bin/load must know of a deployed cluster: addresses and ports from the inventory, the admin API's token and the
// authority from the folder that the playbooks have filled beside it.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parse } from 'yaml'

export interface Deployed {
  readonly gateways: readonly { readonly name: string, readonly url: string, readonly operatorUrl: string }[]
  readonly billingUrls: readonly string[]
  readonly adminToken: string
  /** PEM. */
  readonly ca: string
  /** A path that the first route takes. */
  readonly path: string
}

interface Listed {
  readonly _meta: { readonly hostvars: Readonly<Record<string, Readonly<Record<string, unknown>>>> }
  readonly gateways?: { readonly hosts: readonly string[] }
  readonly billing?: { readonly hosts: readonly string[] }
}

// As ansible/group_vars/all.yml has them.
const gatewayPort = 8080
const gatewayOperatorPort = 9464
const billingPort = 8081

/** @throws Error with a sentence for people */
export function readInventory (file: string, only: readonly string[] | undefined): Deployed {
  const listed = JSON.parse(execFileSync('ansible-inventory', ['-i', file, '--list'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 * 1024 * 1024 })) as Listed
  const variable = (host: string, name: string): unknown => listed._meta.hostvars[host]?.[name]
  const text = (host: string, name: string): string => {
    const value = variable(host, name)
    if (typeof value !== 'string') throw new Error(`${host} has no ${name} in ${file}`)
    return value
  }
  const names = (listed.gateways?.hosts ?? []).filter((name) => only?.includes(name) ?? true)
  const missing = only?.filter((name) => !names.includes(name)) ?? []
  if (names.length === 0 || missing.length > 0) throw new Error(missing.length > 0 ? `${missing.join(', ')}: not in the group gateways of ${file}` : `${file} has no group gateways`)
  const generated = path.join(path.dirname(path.resolve(file)), 'generated')
  const secrets = parse(readSecrets(path.join(generated, 'secrets.yml'))) as Readonly<Record<string, string>>
  return {
    gateways: names.map((name) => {
      const address = text(name, 'ansible_host')
      return { name, url: `http://${address}:${Number(variable(name, 'tollgate_gateway_port') ?? gatewayPort)}`, operatorUrl: `https://${address}:${gatewayOperatorPort}` }
    }),
    billingUrls: (listed.billing?.hosts ?? []).map((name) => `http://${text(name, 'ansible_host')}:${billingPort}`),
    adminToken: secrets['tollgate_admin'] ?? '',
    ca: readFileSync(path.join(generated, 'certificates/ca.pem'), 'utf8'),
    path: pathOf(variable(names[0] as string, 'tollgate_routes'))
  }
}

function readSecrets (file: string): string {
  const text = readFileSync(file, 'utf8')
  return text.startsWith('$ANSIBLE_VAULT') ? execFileSync('ansible-vault', ['view', file], { encoding: 'utf8', stdio: ['inherit', 'pipe', 'inherit'] }) : text
}

function pathOf (routes: unknown): string {
  const route = (Array.isArray(routes) ? routes : []).find((each: { readonly path?: unknown, readonly isPublic?: unknown }) => typeof each.path === 'string' && each.isPublic !== true) as { readonly path: string } | undefined
  if (route === undefined) throw new Error('no route of the inventory asks for a key: say --path')
  return route.path.replace(/\*\*|\*|\{[^}]*\}/g, 'load')
}
