// The part of docs/benchmarks.md that the test on four hosts owns.
import path from 'node:path'
import { readCircumstances } from '../../perf/harness/machine.ts'
import { pagePart, writePage } from '../../perf/harness/page.ts'

const file = path.resolve(import.meta.dirname, '../../docs/benchmarks.md')
const name = 'hosts'

export function writeFootprint (rows: readonly (readonly string[])[], { ratePerS, seconds }: { readonly ratePerS: number, readonly seconds: number }): void {
  const columns = ['machine and service', 'resident, MB', 'most since its start', 'budget', 'disk, MB', 'budget']
  const table = {
    title: 'Memory and disk of each service', columns, rows, notes: [
      'The budget is what `playbooks/validate.yml` reckons for this inventory: memory by what the service may take, disk by events a second and days. On a Raspberry Pi with 8 GB it must fit into what the machine has.'
    ]
  }
  const settings = [
    '`bin/check --long=cluster`: four Debian 13 machines in namespaces of this one, deployed by `site.yml`, two gateways, three brokers, two aggregators, two billing servers, Elasticsearch and rsyslog.',
    `After everything that the test has done until then, and ${seconds} s with ${ratePerS} requests a second. Heaps of 256 MB (Kafka) and 512 MB (Elasticsearch) instead of 512 and 1,024.`,
    'Resident memory is summed over the processes of the unit (`VmRSS`, `VmHWM`), with pages of files that are mapped and of libraries that are shared.'
  ]
  writePage(file, name, pagePart({ name, title: 'memory and disk of a deployed cluster', run: () => { throw new Error('bin/check --long=cluster measures this') } }, { settings, tables: [table], files: [], samples: [] }, readCircumstances()))
}
