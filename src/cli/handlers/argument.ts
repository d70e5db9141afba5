// What a command's handler was sent: JSON from a socket, so each field is looked at before it is used.
import { TollgateError } from '../../domain/errors.ts'

export class HandlerArgument {
  readonly #fields: Readonly<Record<string, unknown>>

  /** @throws TollgateError ARGUMENT_INVALID for anything but an object */
  constructor (argument: unknown) {
    if (argument !== undefined && (typeof argument !== 'object' || argument === null || Array.isArray(argument))) throw new TollgateError('ARGUMENT_INVALID', 'the argument must be an object')
    this.#fields = { ...argument }
  }

  /** Undefined when it isn't there. @throws TollgateError ARGUMENT_INVALID */
  integer (name: string, min = 1): number | undefined {
    const value = this.#fields[name]
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= min)) return value as number | undefined
    throw new TollgateError('ARGUMENT_INVALID', `${name} must be a whole number from ${min} on`)
  }

  text (name: string): string | undefined {
    const value = this.#fields[name]
    if (value === undefined || typeof value === 'string') return value
    throw new TollgateError('ARGUMENT_INVALID', `${name} must be a text`)
  }

  /** False when it isn't there. */
  flag (name: string): boolean {
    const value = this.#fields[name] ?? false
    if (typeof value === 'boolean') return value
    throw new TollgateError('ARGUMENT_INVALID', `${name} must be true or false`)
  }

  choice<Choice extends string> (name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.text(name)
    const found = choices.find((choice) => choice === value)
    if (value !== undefined && found === undefined) throw new TollgateError('ARGUMENT_INVALID', `${name} must be one of ${choices.join(', ')}`)
    return found
  }
}

/** @throws TollgateError ARGUMENT_INVALID when it isn't there */
export function needed<Value> (name: string, value: Value | undefined): Value {
  if (value === undefined) throw new TollgateError('ARGUMENT_INVALID', `${name} is missing`)
  return value
}
