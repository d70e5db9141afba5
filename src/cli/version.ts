// `tollgate version`: what this file is.
import process from 'node:process'
import { isSea } from 'node:sea'
import { buildFacts, version } from '../platform/version.ts'
import { jsonOption } from './arguments.ts'
import { commandOf, exitCodes, printJson } from './command.ts'

export const versionCommand = commandOf({
  name: 'tollgate version',
  summary: 'Prints what this program is and what it runs on.',
  options: { json: jsonOption }
}, async (given, context) => {
  const { commit, duckdb, uWebSockets } = buildFacts()
  const known = {
    version,
    ...(commit === undefined ? {} : { commit }),
    target: `${process.platform}-${process.arch}`,
    isPackaged: isSea(),
    node: process.versions.node,
    nodeOptions: process.execArgv,
    duckdb,
    sqlite: process.versions['sqlite'],
    uWebSockets
  }
  if (given.has('json')) printJson(context, known)
  else context.io.out(`tollgate ${known.version} on Node ${known.node}, ${known.target}\n`)
  return exitCodes.ok
})
