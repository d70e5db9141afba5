// Elasticsearch as a package in a repository of packages, laid out as Elastic's: the server that Maven Central has, with the
// folders, user and unit of Elastic's package as far as the playbooks rely on them. Signed with a key of its own, as a mirror's is.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { madeOnce } from '../../helpers/made-once.ts'
import { elasticsearchVersion, searchServerHome } from './files.ts'

const services = path.resolve(import.meta.dirname, '../../../.tollgate/services')
const control = `Package: elasticsearch
Version: ${elasticsearchVersion}
Architecture: all
Depends: default-jre-headless
Maintainer: nobody <nobody@example.com>
Description: Elasticsearch as Maven Central has it, for tests
`

const keystore = '/etc/elasticsearch/elasticsearch.keystore'

// What Elastic's package does too: a user, the folders' owners, and the keystore that the server must not have to make. It starts nothing.
const afterInstallation = `#!/bin/sh
set -eu
getent group elasticsearch >/dev/null || groupadd --system elasticsearch
getent passwd elasticsearch >/dev/null || useradd --system --gid elasticsearch --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin elasticsearch
chown elasticsearch:elasticsearch /var/lib/elasticsearch /var/log/elasticsearch
chown root:elasticsearch /etc/elasticsearch && chmod 2750 /etc/elasticsearch
if [ ! -e ${keystore} ]; then
  /usr/share/elasticsearch/bin/elasticsearch-keystore create
  chown root:elasticsearch ${keystore} && chmod 660 ${keystore}
fi
`

const unit = `[Unit]
Description=Elasticsearch
[Service]
RuntimeDirectory=elasticsearch
PrivateTmp=true
Environment=ES_HOME=/usr/share/elasticsearch ES_PATH_CONF=/etc/elasticsearch
EnvironmentFile=-/etc/default/elasticsearch
# Java's own log goes there.
WorkingDirectory=/var/log/elasticsearch
User=elasticsearch
Group=elasticsearch
ExecStart=/usr/share/elasticsearch/bin/elasticsearch
LimitNOFILE=65535
SuccessExitStatus=143
[Install]
WantedBy=multi-user.target
`

/** Made anew when what it is made of changes. */
const folder = path.join(services, `elasticsearch-repository-${elasticsearchVersion}-${createHash('sha256').update(control + afterInstallation + unit).digest('hex').slice(0, 8)}`)

export interface ElasticsearchRepository {
  /** To be served: `dists` and `pool` are in it. */
  readonly folder: string
  readonly version: string
  readonly keyFile: string
  readonly keyFingerprint: string
}

export async function elasticsearchRepository (): Promise<ElasticsearchRepository> {
  const home = await searchServerHome('elasticsearch')
  madeOnce(folder, (fresh) => { make(home, fresh) })
  return { folder, version: elasticsearchVersion, keyFile: path.join(folder, 'key.asc'), keyFingerprint: readFileSync(path.join(folder, 'fingerprint'), 'utf8') }
}

function make (home: string, fresh: string): void {
  const tree = `${fresh}.tree`
  rmSync(tree, { recursive: true, force: true })
  const put = (name: string, text: string, mode = 0o644): void => {
    mkdirSync(path.dirname(path.join(tree, name)), { recursive: true })
    writeFileSync(path.join(tree, name), text, { mode })
  }
  put('DEBIAN/control', control)
  put('DEBIAN/conffiles', '/etc/elasticsearch/elasticsearch.yml\n/etc/elasticsearch/jvm.options\n')
  put('DEBIAN/postinst', afterInstallation, 0o755)
  put('usr/lib/systemd/system/elasticsearch.service', unit)
  // Where Debian's Java is: the server brings none.
  put('etc/default/elasticsearch', 'ES_JAVA_HOME=/usr/lib/jvm/default-java\nES_PATH_CONF=/etc/elasticsearch\n')
  for (const name of ['var/lib/elasticsearch', 'var/log/elasticsearch', 'usr/share']) mkdirSync(path.join(tree, name), { recursive: true })
  cpSync(home, path.join(tree, 'usr/share/elasticsearch'), { recursive: true, filter: (source) => path.relative(home, source) !== 'config' })
  // In Elastic's package each program reads that file.
  const environment = 'usr/share/elasticsearch/bin/elasticsearch-env'
  put(environment, readFileSync(path.join(tree, environment), 'utf8').replace('\n', '\n. /etc/default/elasticsearch\n'), 0o755)
  // A server that ran from there has left a keystore.
  cpSync(path.join(home, 'config'), path.join(tree, 'etc/elasticsearch'), { recursive: true, filter: (source) => path.basename(source) !== path.basename(keystore) })
  const name = `elasticsearch_${elasticsearchVersion}_all.deb`
  mkdirSync(path.join(fresh, 'pool'), { recursive: true })
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '--build', tree, path.join(fresh, 'pool', name)], { stdio: ['ignore', 'ignore', 'inherit'] })
  rmSync(tree, { recursive: true })
  describe(fresh, name)
}

/** The lists that apt reads, signed. */
function describe (fresh: string, name: string): void {
  const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
  const file = path.join(fresh, 'pool', name)
  const packages = `${control}Filename: pool/${name}\nSize: ${statSync(file).size}\nSHA256: ${sha256(file)}\n`
  const architectures = ['amd64', 'arm64']
  for (const architecture of architectures) {
    mkdirSync(path.join(fresh, `dists/stable/main/binary-${architecture}`), { recursive: true })
    writeFileSync(path.join(fresh, `dists/stable/main/binary-${architecture}/Packages`), packages)
  }
  const sums = architectures.map((architecture) => { const list = `main/binary-${architecture}/Packages`; return ` ${sha256(path.join(fresh, 'dists/stable', list))} ${packages.length} ${list}` })
  writeFileSync(path.join(fresh, 'dists/stable/Release'), `Suite: stable\nCodename: stable\nComponents: main\nArchitectures: ${architectures.join(' ')}\nDate: ${new Date().toUTCString().replace('GMT', 'UTC')}\nSHA256:\n${sums.join('\n')}\n`)
  // Short: gpg's agent listens at a socket in it.
  const keyring = mkdtempSync(path.join(tmpdir(), 'tg-gpg-'))
  try {
    const gpg = (...argv: string[]): string => execFileSync('gpg', ['--homedir', keyring, '--batch', '--quiet', ...argv], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    gpg('--passphrase', '', '--quick-generate-key', 'mirror for tests', 'rsa3072', 'sign', 'never')
    gpg('--output', path.join(fresh, 'dists/stable/InRelease'), '--clearsign', path.join(fresh, 'dists/stable/Release'))
    writeFileSync(path.join(fresh, 'key.asc'), gpg('--armor', '--export'))
    writeFileSync(path.join(fresh, 'fingerprint'), /^fpr:+([0-9A-F]{40}):/m.exec(gpg('--with-colons', '--fingerprint'))?.[1] ?? '')
    execFileSync('gpgconf', ['--homedir', keyring, '--kill', 'all'], { stdio: 'ignore' })
  } finally { rmSync(keyring, { recursive: true, force: true }) }
}
