// Who answers a command: the running program over its socket, or, when none runs, this process on the files under the
// state's lock. The handlers are the same. Of a cluster's roles on this machine each has a socket; the one that knows the
// command answers it.
import path from 'node:path'
import type { Config } from '../config/schema.ts'
import { roleStates } from '../config/role.ts'
import { TollgateError } from '../domain/errors.ts'
import { sleepMs, systemClock } from '../platform/clock.ts'
import { stateFiles } from '../platform/state-files.ts'
import type { StateLock } from '../platform/state-lock.ts'
import { openState } from '../platform/state-version.ts'
import type { Arguments } from './arguments.ts'
import { AuditLog } from './audit.ts'
import { configOf } from './command.ts'
import type { CommandContext } from './command.ts'
import { askProgram } from './control-client.ts'
import { openOffline } from './offline.ts'

/** A program that starts holds the lock a while before it answers on its socket. */
const startingWaitMs = 10_000
const retryMs = 200

/** A command's question: its arguments are read before the configuration is. @throws ConfigError, and what the handler throws */
export async function ask<Result> (given: Arguments, context: CommandContext, command: string, argument: unknown): Promise<Result> {
  return await askTollgate(configOf(given, context), command, argument)
}

/** @throws what the handler throws; TollgateError STATE_LOCKED when somebody holds the state but answers nothing, ROLE_NEEDED */
export async function askTollgate<Result> (config: Config, command: string, argument: unknown): Promise<Result> {
  return await (config.kafka === undefined ? askMachine<Result>(config, command, argument) : askRoles<Result>(config, command, argument))
}

/** Members and keys are in Redis; everything else is known to running programs alone. */
const offlineInCluster = ['member', 'key', 'registry']

async function askRoles<Result> (config: Config, command: string, argument: unknown): Promise<Result> {
  for (const folder of roleStates(config.state)) {
    try {
      const answer = await askProgram(stateFiles(folder).controlSocket, command, argument)
      if (answer.isRunning) return answer.result as Result
    } catch (error) {
      // Another role's process may know it.
      if ((error as { readonly code?: unknown }).code !== 'COMMAND_UNKNOWN') throw error
    }
  }
  if (config.redis !== undefined && offlineInCluster.includes(command.split('.')[0] ?? '')) return await answerOffline(config, command, argument) as Result
  throw new TollgateError('ROLE_NEEDED', `no process that runs on this machine with the state folder ${config.state} can answer ${command}`)
}

async function askMachine<Result> (config: Config, command: string, argument: unknown): Promise<Result> {
  const found = await programOrLock<Result>(config.state, command, argument)
  if (found.kind === 'answer') return found.result
  try {
    return await answerOffline(config, command, argument) as Result
  } finally {
    found.lock.release()
  }
}

export type ProgramOrLock<Result> = { readonly kind: 'answer', readonly result: Result } | { readonly kind: 'lock', readonly lock: StateLock }

/** The running program's answer, or the lock of a state that nobody uses, which keeps it so. @throws TollgateError STATE_LOCKED, STATE_NEWER */
export async function programOrLock<Result> (state: string, command: string, argument: unknown): Promise<ProgramOrLock<Result>> {
  const endMs = systemClock.monotonicMs() + startingWaitMs
  for (;;) {
    const answer = await askProgram(stateFiles(state).controlSocket, command, argument)
    if (answer.isRunning) return { kind: 'answer', result: answer.result as Result }
    const lock = tryLock(state)
    if (!(lock instanceof TollgateError)) return { kind: 'lock', lock }
    if (systemClock.monotonicMs() > endMs) throw lock
    await sleepMs(retryMs)
  }
}

function tryLock (state: string): StateLock | TollgateError {
  try {
    return openState(path.resolve(state))
  } catch (error) {
    if (error instanceof TollgateError && error.code === 'STATE_LOCKED') return error
    throw error
  }
}

async function answerOffline (config: Config, command: string, argument: unknown): Promise<unknown> {
  const { handlers, close } = await openOffline(config, command)
  const audit = new AuditLog(stateFiles(config.state).audit, systemClock)
  try {
    const handler = audit.watch(handlers, { who: 'local', from: 'command line' })[command]
    if (handler === undefined) throw new TollgateError('COMMAND_UNKNOWN', `there is no command ${command}`)
    // Through JSON as over the socket: a command sees the same values either way.
    return JSON.parse(JSON.stringify(await handler(argument) ?? null))
  } finally {
    await close()
  }
}
