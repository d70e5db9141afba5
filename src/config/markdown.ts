// docs/configuration.md, written from the schema; a test compares the two.
import { reservedVariables } from './environment.ts'
import { reloadedKeys } from './reload.ts'
import { configSetting } from './schema.ts'
import type { Setting } from './setting.ts'
import { formatSize } from './size-text.ts'

const reservedMeanings: Readonly<Record<typeof reservedVariables[number], string>> = {
  TOLLGATE_CONFIG: 'the configuration file when the command line names none',
  TOLLGATE_NODE: 'set by the scripts in `bin/`',
  TOLLGATE_CRASH_POINT: 'for the crash tests: the program kills itself at the named point',
  TOLLGATE_NATIVE_FOLDER: 'where the packaged file unpacks its native parts; else below the first of $CACHE_DIRECTORY (set by systemd), $XDG_CACHE_HOME/tollgate and ~/.cache/tollgate that can be used'
}

const introduction = `# Configuration

One YAML file, by default \`tollgate.yaml\` in the current folder (\`--config FILE\`, or TOLLGATE_CONFIG). \`tollgate.example.yaml\` shows every key.
This page is written from the schema by \`tollgate config schema --markdown\`; \`tollgate config schema\` prints a JSON Schema for editors.

- \`tollgate config check\` tells all problems at once, each with file, line and remedy, what \`auto\` stands for on this machine, and how long the journal lasts. \`tollgate config print\` shows the whole configuration, secrets redacted.
- Unknown keys are refused. A key that is left out has its default; a group, list or map with nothing behind it is empty.
- Paths are relative to the folder of the configuration file. Sizes are bytes, or text such as \`64MiB\` (KiB, MiB, GiB: 1,024; KB, MB, GB: 1,000). Names of units end a key: \`…Ms\` milliseconds, \`…S\` seconds, \`…Bytes\`.
- A secret stands in a file that others can't read (mode 0600, or 0640 for a group; a file that is open to all is refused): \`secretFile: api.secret\`. One that stands in the configuration file itself is taken with a warning.
- An environment variable overrides a key: \`TOLLGATE_GATEWAY__LISTEN__PORT=9000\` is \`gateway.listen.port\`. Two underscores go down a level; a capital in a key is an underscore before it (\`IN_FLIGHT_MAX\`); lists count from 0
  (\`TOLLGATE_AUTH__SECRETS__0__SECRET_FILE\`), entries of a map have their name (\`TOLLGATE_GATEWAY__UPSTREAMS__MAIN__URL\`). Lists and maps as a whole are given as YAML. An override wins over the file, also over a secret given the other way in the same place.
- A running program takes these keys, with all below them and with what their files hold, at \`tollgate reload\`: ${reloadedKeys.map((key) => `\`${key}\``).join(', ')}. All others are read at the start ([admin.md](admin.md)).
`

export function configMarkdown (): string {
  const sections = Object.entries(configSetting.properties).filter(([, setting]) => setting.kind === 'group')
  const single = Object.entries(configSetting.properties).filter(([, setting]) => setting.kind !== 'group')
  const rows = (entries: readonly (readonly [string, Setting])[]): string => ['| key | meaning | unit | default | allowed |', '|---|---|---|---|---|', ...entries.flatMap(([key, setting]) => rowsOf(key, setting))].join('\n')
  return [
    introduction,
    `## Top level\n\n${rows(single)}\n`,
    ...sections.map(([key, setting]) => `## ${key}\n\n${setting.description}\n\n${rows(Object.entries((setting as Setting & { kind: 'group' }).properties).map(([name, property]) => [`${key}.${name}`, property] as const))}\n`),
    `## Environment variables that are no overrides\n\n| variable | |\n|---|---|\n${reservedVariables.map((name) => `| ${name} | ${reservedMeanings[name]} |`).join('\n')}\n`
  ].join('\n')
}

function rowsOf (key: string, setting: Setting): readonly string[] {
  const own = `| \`${key}\` | ${cell(meaningOf(setting))} | ${unitOf(setting)} | ${cell(defaultOf(setting))} | ${cell(allowedOf(setting))} |`
  switch (setting.kind) {
    case 'group': return [`| **\`${key}\`** | ${cell(setting.description)} | | ${setting['~optional'] === true ? 'none' : ''} | |`, ...propertyRows(key, setting)]
    case 'list': return setting.items.kind === 'group' ? [own, ...propertyRows(`${key}[]`, setting.items)] : [own]
    case 'map': return setting.values.kind === 'group' ? [own, ...propertyRows(`${key}.NAME`, setting.values)] : [own]
    case 'either': return setting.group.kind === 'group' ? [own, ...propertyRows(key, setting.group)] : [own]
    case 'text': return setting.secretFile === undefined ? [own] : [own, `| \`${key.slice(0, key.lastIndexOf('.') + 1)}${setting.secretFile}\` | A file that holds it. | | | |`]
    default: return [own]
  }
}

function propertyRows (key: string, setting: Setting & { readonly kind: 'group' }): readonly string[] {
  return Object.entries(setting.properties).flatMap(([name, property]) => rowsOf(`${key}.${name}`, property))
}

function meaningOf (setting: Setting): string { return 'auto' in setting && setting.auto !== undefined ? `${setting.description} \`auto\`: ${setting.auto}.` : setting.description }

function unitOf (setting: Setting): string { return setting.kind === 'integer' || setting.kind === 'size' ? setting.unit : setting.kind === 'either' ? unitOf(setting.scalar) : '' }

function defaultOf (setting: Setting): string {
  if (setting.default === undefined) return setting['~optional'] === true ? 'none' : '**required**'
  if (setting.kind === 'list' || setting.kind === 'map') return 'empty'
  return `\`${JSON.stringify(setting.default).replaceAll('"', '')}\``
}

function allowedOf (setting: Setting): string {
  switch (setting.kind) {
    case 'integer': return `${setting.minimum} to ${setting.maximum}`
    case 'size': return `${formatSize(setting.minimum)} to ${formatSize(setting.maximum)}`
    case 'choice': return setting.choices.map((choice) => `\`${choice}\``).join(', ')
    case 'flag': return '`true`, `false`'
    case 'list': return `at most ${setting.itemsMax}`
    case 'map': return `at most ${setting.entriesMax}`
    case 'either': return `${allowedOf(setting.scalar)}, or a header`
    case 'text': return setting.patternMeaning ?? (setting.secretFile !== undefined ? `at least ${setting.lengthMin} characters` : setting.isPath === true ? 'a path' : '')
    case 'group': return ''
  }
}

function cell (text: string): string { return text.replaceAll('|', '\\|') }

