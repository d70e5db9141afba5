// The schema as JSON Schema (draft 2020-12), for editors that complete and check the file while it is written.
import { configSetting } from './schema.ts'
import type { Setting } from './setting.ts'
import { sizePattern } from './size-text.ts'

type JsonSchema = Readonly<Record<string, unknown>>

export function configJsonSchema (): JsonSchema {
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'Tollgate', ...schemaOf(configSetting) }
}

function schemaOf (setting: Setting): JsonSchema {
  const described = { description: setting.description, ...(setting.default === undefined ? {} : { default: setting.default }) }
  const orAuto = (schema: JsonSchema): JsonSchema => 'auto' in setting && setting.auto !== undefined ? { anyOf: [{ const: 'auto' }, schema] } : schema
  switch (setting.kind) {
    case 'text': return { ...described, ...orAuto({ type: 'string', minLength: setting.lengthMin, maxLength: setting.lengthMax, ...(setting.pattern === undefined ? {} : { pattern: `^(?:${setting.pattern})$` }) }) }
    case 'integer': return { ...described, ...orAuto({ type: 'integer', minimum: setting.minimum, maximum: setting.maximum }) }
    case 'size': return { ...described, anyOf: [...(setting.auto === undefined ? [] : [{ const: 'auto' }]), { type: 'integer', minimum: setting.minimum, maximum: setting.maximum }, { type: 'string', pattern: sizePattern }] }
    case 'choice': return { ...described, enum: setting.choices }
    case 'flag': return { ...described, type: 'boolean' }
    case 'list': return { ...described, type: ['array', 'null'], items: schemaOf(setting.items), maxItems: setting.itemsMax }
    case 'map': return { ...described, type: ['object', 'null'], additionalProperties: schemaOf(setting.values), maxProperties: setting.entriesMax }
    case 'either': return { ...described, anyOf: [schemaOf(setting.scalar), schemaOf(setting.group)] }
    case 'group': return { ...described, ...groupSchema(setting) }
  }
}

function groupSchema (setting: Setting & { readonly kind: 'group' }): JsonSchema {
  const properties: Record<string, JsonSchema> = {}
  const required: string[] = []
  const oneOfTwo: JsonSchema[] = []
  for (const [key, property] of Object.entries(setting.properties)) {
    properties[key] = schemaOf(property)
    const file = property.kind === 'text' ? property.secretFile : undefined
    if (file !== undefined) properties[file] = { type: 'string', description: `Name of a file that holds \`${key}\`, relative to the configuration file.` }
    if (property.default !== undefined || property.kind === 'group' || property['~optional'] === true) continue
    if (file === undefined) required.push(key)
    else oneOfTwo.push({ oneOf: [{ required: [key] }, { required: [file] }] })
  }
  // A group whose keys are all commented out is an empty value in YAML.
  const mayBeEmpty = required.length === 0 && oneOfTwo.length === 0
  return {
    type: mayBeEmpty ? ['object', 'null'] : 'object', properties, additionalProperties: false,
    ...(required.length === 0 ? {} : { required }),
    ...(oneOfTwo.length === 0 ? {} : { allOf: oneOfTwo })
  }
}
