// The configuration as it may be shown: in the form of the file, without its secrets.
import { configSetting } from './schema.ts'
import type { Config } from './schema.ts'
import type { Setting } from './setting.ts'
import { formatSize } from './size-text.ts'

export const redacted = '<redacted>'

/** Plain values in the schema's order; sizes as they are written. */
export function redactConfig (config: Config): Readonly<Record<string, unknown>> {
  return redact(configSetting, config) as Readonly<Record<string, unknown>>
}

function redact (setting: Setting, value: unknown): unknown {
  if (value === undefined) return undefined
  switch (setting.kind) {
    case 'group': {
      const entries = Object.entries(setting.properties).map(([key, property]) => [key, redact(property, (value as Record<string, unknown>)[key])] as const)
      return Object.fromEntries(entries.filter(([, shown]) => shown !== undefined))
    }
    case 'list': return (value as readonly unknown[]).map((item) => redact(setting.items, item))
    case 'map': return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, redact(setting.values, item)]))
    case 'either': return redact(typeof value === 'object' ? setting.group : setting.scalar, value)
    case 'text': return setting.secretFile === undefined ? value : redacted
    case 'size': return formatSize(value as number)
    case 'integer': case 'choice': case 'flag': return value
  }
}
