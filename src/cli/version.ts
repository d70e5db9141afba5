// `tollgate version`: what this file is.
import process from 'node:process'
import { version } from '../platform/version.ts'
import { jsonOption } from './arguments.ts'
import { commandOf, exitCodes, printJson } from './command.ts'

export const versionCommand = commandOf({
  name: 'tollgate version',
  summary: 'Prints what this program is and what it runs on.',
  options: { json: jsonOption }
}, async (given, context) => {
  const known = { version, node: process.versions.node, platform: `${process.platform} ${process.arch}` }
  if (given.has('json')) printJson(context, known)
  else context.io.out(`tollgate ${known.version} on Node ${known.node}, ${known.platform}\n`)
  return exitCodes.ok
})
