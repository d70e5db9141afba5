// What can be wrong with a configuration: told all at once, each with its place and what to do.
import { TollgateError } from '../domain/errors.ts'

/** A place in a document: keys and list indices. */
export type Path = readonly (string | number)[]

export interface ConfigProblem {
  /** Such as `gateway.routes[2].path`; empty for the file as a whole. */
  readonly path: string
  /** The file that holds the mistake; undefined where an environment variable does. */
  readonly file?: string
  /** From 1. */
  readonly line?: number
  readonly message: string
  readonly remedy: string
}

/** How the parts of loading report; where the path stands in a file is worked out by the loader. */
export type Report = (path: Path, message: string, remedy: string) => void

export class ConfigError extends TollgateError {
  readonly problems: readonly ConfigProblem[]
  constructor (problems: readonly ConfigProblem[]) {
    super('CONFIG_INVALID', `${problems.length === 1 ? 'a problem' : `${problems.length} problems`} in the configuration\n${problems.map(problemText).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** `tollgate.yaml:12: gateway.listen.port: 70000 is above 65535. A whole number from 1 to 65535.` */
export function problemText ({ path, file, line, message, remedy }: ConfigProblem): string {
  const place = [file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}`, path].filter((part) => part !== '').join(': ')
  return `${place === '' ? '' : `${place}: `}${message}. ${remedy.slice(0, 1).toUpperCase()}${remedy.slice(1)}${/[.?]$/.test(remedy) ? '' : '.'}`
}

/** ['gateway', 'routes', 2] -> 'gateway.routes[2]' */
export function pathText (path: Path): string {
  return path.map((step, at) => typeof step === 'number' ? `[${step}]` : at === 0 ? step : `.${step}`).join('')
}

/** The way back, for paths without dots in their keys. */
export function parsePath (text: string): Path {
  return text.split(/[.[\]]+/).filter((step) => step !== '').map((step) => /^\d+$/.test(step) ? Number(step) : step)
}

/** What a rule about several settings is given. */
export interface Checked {
  readonly report: Report
  readonly warn: (sentence: string) => void
  /** False when a problem was found at this path or below: rules that read it have nothing to judge then. */
  readonly isSound: (path: Path) => boolean
}
