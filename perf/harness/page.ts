// docs/benchmarks.md: each scenario owns what stands between its two markers; nobody else writes there. What stands above the
// first marker is the harness's, and so is the picture beside the page.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Circumstances } from './machine.ts'
import type { Scenario, ScenarioResult } from './scenario.ts'
import { overviewOf } from './overview.ts'
import { markdownTable } from './table.ts'

const openingOf = (pictureFile: string): string => `# Benchmarks

Written by \`bin/bench\`, one part a scenario; don't edit. \`bin/bench SCENARIO\` measures a part again. Compare figures of one
part only: the same machine is up to twice as fast in one hour as in another, so rivals run interleaved in the same minutes.
A rate is printed only after every answer was right and the bill equalled the answers.

![CPU a request of Tollgate and its rivals, and which goals are met](${pictureFile})
`

const startOf = (name: string): string => `<!-- bench:${name} -->`
const endOf = (name: string): string => `<!-- /bench:${name} -->`

export function pagePart (scenario: Scenario, result: ScenarioResult, circumstances: Circumstances): string {
  const versions = Object.entries(circumstances.versions).map(([name, version]) => `${name} ${version}`).join(', ')
  return [
    startOf(scenario.name),
    `## ${scenario.name}: ${scenario.title}`,
    ...result.tables.map(markdownTable),
    'How it was measured:',
    result.settings.map((line) => `* ${line}`).join('\n'),
    ...result.files.map((file) => `${file.name}:\n\n\`\`\`\n${file.text.trim()}\n\`\`\``),
    `Machine: ${circumstances.machine}. Versions: ${versions}. Commit ${circumstances.commit}, ${circumstances.date}.`,
    endOf(scenario.name)
  ].join('\n\n')
}

/** Puts `part` in the place of the scenario's last one, or at the end, and draws the picture anew. */
export function writePage (file: string, name: string, part: string): void {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
  const from = text.indexOf(startOf(name))
  const to = text.indexOf(endOf(name))
  if ((from < 0) !== (to < 0) || to < from) throw new Error(`${file}: the markers of "${name}" don't pair; mend or remove the file`)
  writeWhole(file, from < 0 ? `${text.trimEnd()}\n\n${part}\n` : text.slice(0, from) + part + text.slice(to + endOf(name).length))
}

/** The page with its head as it is to be, and its picture. */
export function writeWhole (file: string, text: string): void {
  const picture = path.join(path.dirname(file), `${path.parse(file).name}.svg`)
  const firstPart = text.search(/<!-- bench:/)
  const page = `${openingOf(path.basename(picture))}\n${firstPart < 0 ? '' : text.slice(firstPart)}`
  writeFileSync(file, page)
  writeFileSync(picture, overviewOf(page))
}
