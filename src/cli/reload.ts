// `tollgate reload`: the running program reads its configuration anew. Of a cluster's roles on this machine each process does,
// each for itself. The file may be one that can't be used: that is the program's to say.
import { defaultConfigFile, loadStateFolder } from '../config/load.ts'
import { roleStates } from '../config/role.ts'
import { TollgateError } from '../domain/errors.ts'
import { stateFiles } from '../platform/state-files.ts'
import { configOption, jsonOption } from './arguments.ts'
import { commandOf, errorText, exitCodes, printJson } from './command.ts'
import { askProgram } from './control-client.ts'

interface Answer { readonly changed: readonly string[], readonly needsRestart: readonly string[], readonly warnings: readonly string[] }

export const reloadCommand = commandOf({
  name: 'tollgate reload',
  summary: 'Lets the running program read its configuration, price book, secrets and certificates anew, without a pause; so does SIGHUP.',
  options: { json: jsonOption, config: configOption },
  details: `Requests that are under way end by the rules they came under. A file that can't be used changes nothing, and every mistake in it is told.
Some keys, such as ports and the journal's size, are only read at the start: those that have changed are named. docs/admin.md lists both kinds.`
}, async (given, context) => {
  const { io } = context
  const state = loadStateFolder({ file: given.text('config') ?? defaultConfigFile() })
  const answers: Answer[] = []
  let isRefused = false
  for (const folder of roleStates(state)) {
    try {
      const answer = await askProgram(stateFiles(folder).controlSocket, 'reload', {})
      if (answer.isRunning) answers.push(answer.result as Answer)
    } catch (error) {
      isRefused = true
      io.error(errorText(error))
    }
  }
  if (answers.length === 0 && !isRefused) throw new TollgateError('NOT_RUNNING', `no program runs with the state folder ${state}`)
  if (given.has('json')) printJson(context, answers)
  else for (const answer of answers) io.out(answerText(answer))
  return isRefused ? exitCodes.failed : exitCodes.ok
})

function answerText ({ changed, needsRestart, warnings }: Answer): string {
  const lines = [
    changed.length === 0 ? 'read anew; nothing that a reload takes has changed' : `in force: ${changed.join(', ')}`,
    ...needsRestart.length === 0 ? [] : [`changed in the file, and as it was until the program is started again: ${needsRestart.join(', ')}`],
    ...warnings.map((warning) => `warning: ${warning}`)
  ]
  return `${lines.join('\n')}\n`
}
