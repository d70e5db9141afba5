// What is in the file: a CycloneDX document, and the licences of everything that others wrote.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { Lock } from './parts.ts'

export interface Contents {
  readonly root: string
  readonly lock: Lock
  /** As in package-lock.json: `node_modules/…`, and native packages by name. */
  readonly packages: readonly string[]
  readonly nodeLicense: string
}

interface Component { readonly name: string, readonly version: string, readonly license: string, readonly integrity: string, readonly folder: string }

function componentsOf ({ lock, packages }: Contents): Component[] {
  return packages.map((given) => {
    const folder = given.startsWith('node_modules/') ? given : `node_modules/${given}`
    const locked = lock.packages[folder]
    if (locked?.license === undefined || locked.integrity === undefined) throw new Error(`package-lock.json says too little about ${folder}`)
    return { name: locked.name ?? folder.replace(/^.*node_modules\//, ''), version: locked.version, license: locked.license, integrity: locked.integrity, folder }
  }).sort((a, b) => `${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1)
}

const purl = (name: string, version: string): string => `pkg:npm/${name.replace('@', '%40')}@${version}`

/** CycloneDX 1.6, JSON. The same commit gives the same text. */
export function cycloneDx (contents: Contents, { version, target, timestamp, sha256 }: { readonly version: string, readonly target: string, readonly timestamp: string, readonly sha256: string }): string {
  const components = componentsOf(contents).map(({ name, version: of, license, integrity }) => ({
    type: name.startsWith('node-linux-') ? 'platform' : 'library',
    'bom-ref': purl(name, of),
    name,
    version: of,
    hashes: [{ alg: 'SHA-512', content: Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex') }],
    licenses: [/ OR | AND |\(/.test(license) ? { expression: license } : { license: { id: license } }],
    purl: purl(name, of)
  }))
  const root = `pkg:generic/tollgate@${version}?target=${target}`
  const digest = createHash('sha256').update(`${root} ${sha256}`).digest('hex')
  // A UUID of version 8: made from what the file is, not from chance.
  const serial = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
    metadata: {
      timestamp,
      component: { type: 'application', 'bom-ref': root, name: 'tollgate', version, hashes: [{ alg: 'SHA-256', content: sha256 }], licenses: [{ license: { id: 'Apache-2.0' } }] }
    },
    components,
    dependencies: [{ ref: root, dependsOn: components.map((component) => component['bom-ref']) }]
  }
  return `${JSON.stringify(document, undefined, 2)}\n`
}

/** Every licence text once a package; those of what Node itself contains stand in Node's. */
export function licenceTexts (contents: Contents): string {
  const parts = componentsOf(contents).map(({ name, version, license, folder }) => {
    const text = name.startsWith('node-linux-') ? contents.nodeLicense : licenceFile(path.join(contents.root, folder))
    return `${'='.repeat(78)}\n${name} ${version}, licence ${license}\n${'='.repeat(78)}\n\n${text?.trim() ?? `The package brings no text of its own; its package.json says ${license}.`}\n`
  })
  return `What others wrote and this program contains, with the licences under which it may be passed on.\n\n${parts.join('\n')}`
}

function licenceFile (folder: string): string | undefined {
  if (!existsSync(folder)) return undefined
  const name = readdirSync(folder).sort().find((file) => /^(licen[cs]e|copying)/i.test(file))
  return name === undefined ? undefined : readFileSync(path.join(folder, name), 'utf8')
}
