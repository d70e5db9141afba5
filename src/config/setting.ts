// The kinds of settings that a configuration is made of. Each is a TypeBox schema, so that the type of the finished
// configuration follows from it, with what a reader, the documentation and the exported JSON Schema need beside it.
import Type from 'typebox'
import type { TUnsafe } from 'typebox'

interface Described { readonly description: string }

/** `unit` is what the documentation prints behind numbers. */
export type Setting = Described & { readonly default?: unknown, readonly '~optional'?: true } & (
  | { readonly kind: 'text', readonly pattern?: string, readonly patternMeaning?: string, readonly lengthMin: number, readonly lengthMax: number, readonly isPath?: boolean, readonly secretFile?: string, readonly auto?: string }
  | { readonly kind: 'integer', readonly unit: string, readonly minimum: number, readonly maximum: number, readonly auto?: string }
  | { readonly kind: 'size', readonly unit: string, readonly minimum: number, readonly maximum: number, readonly auto?: string }
  | { readonly kind: 'choice', readonly choices: readonly string[] }
  | { readonly kind: 'flag' }
  | { readonly kind: 'list', readonly items: Setting, readonly itemsMax: number }
  | { readonly kind: 'map', readonly values: Setting, readonly entriesMax: number }
  | { readonly kind: 'group', readonly properties: Readonly<Record<string, Setting>> }
  | { readonly kind: 'either', readonly scalar: Setting, readonly group: Setting }
)

type Defaulted<Value> = Described & { readonly default?: Value }

/** `auto`: what the word `auto` means here, as a sentence for people; it is worked out when the configuration is loaded. */
interface Automatic { readonly auto?: string }

export function text (options: Defaulted<string> & Automatic & {
  /** A whole text must match it. */
  readonly pattern?: string
  /** The pattern in words: "a host name". */
  readonly patternMeaning?: string
  readonly lengthMax?: number
  /** Relative to the folder of the configuration file; absolute once loaded. */
  readonly isPath?: boolean
}): TUnsafe<string> {
  return Type.Unsafe<string>({ kind: 'text', lengthMin: 1, lengthMax: 1024, ...options })
}

/** A secret, given in place or in a file that the key `file` names. It is printed nowhere. */
export function secret (options: Described & { readonly file: string, readonly lengthMin: number, readonly pattern?: string, readonly patternMeaning?: string }): TUnsafe<string> {
  const { file, ...rest } = options
  return Type.Unsafe<string>({ kind: 'text', lengthMax: 1024, secretFile: file, ...rest })
}

export function integer (options: Defaulted<number | 'auto'> & Automatic & { readonly unit: string, readonly minimum: number, readonly maximum: number }): TUnsafe<number> {
  return Type.Unsafe<number>({ kind: 'integer', ...options })
}

/** Bytes, written as a number or as '64MiB'. */
export function size (options: Defaulted<string> & Automatic & { readonly minimum: number, readonly maximum: number }): TUnsafe<number> {
  return Type.Unsafe<number>({ kind: 'size', unit: 'bytes', ...options })
}

export function choice<const Choice extends string> (choices: readonly Choice[], options: Defaulted<Choice>): TUnsafe<Choice> {
  return Type.Unsafe<Choice>({ kind: 'choice', choices, ...options })
}

export function flag (options: Defaulted<boolean>): TUnsafe<boolean> {
  return Type.Unsafe<boolean>({ kind: 'flag', ...options })
}

export function list<Item> (items: TUnsafe<Item>, options: Defaulted<readonly Item[]> & { readonly itemsMax: number }): TUnsafe<readonly Item[]> {
  return Type.Unsafe<readonly Item[]>({ kind: 'list', items, ...options })
}

/** Entries under names of the user's own. */
export function map<Value> (values: TUnsafe<Value>, options: Defaulted<Readonly<Record<string, Value>>> & { readonly entriesMax: number }): TUnsafe<Readonly<Record<string, Value>>> {
  return Type.Unsafe<Readonly<Record<string, Value>>>({ kind: 'map', values, ...options })
}

type Properties = Readonly<Record<string, Type.TSchema>>
type GroupOf<Fields extends Properties> = Readonly<Type.Static<Type.TObject<{ -readonly [Key in keyof Fields]: Fields[Key] }>>>

export function group<Fields extends Properties> (properties: Fields, options: Described): TUnsafe<GroupOf<Fields>> {
  return Type.Unsafe<GroupOf<Fields>>({ kind: 'group', properties, ...options })
}

/** One value, or a group of settings in its place. */
export function either<Scalar, Group> (scalar: TUnsafe<Scalar>, properties: TUnsafe<Group>, options: Defaulted<Scalar>): TUnsafe<Scalar | Group> {
  return Type.Unsafe<Scalar | Group>({ kind: 'either', scalar, group: properties, ...options })
}

/** May be left out, and is undefined then. */
export const optional = Type.Optional
