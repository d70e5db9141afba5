// `tollgate gateway`: who is known in the cluster, what each one holds back, and how a dead one is ended.
import { configOption, jsonOption } from './arguments.ts'
import { commandGroup, commandOf, exitCodes, printJson } from './command.ts'
import type { CommandContext } from './command.ts'
import type { GatewayListView, RetirementView } from './handlers/gateway.ts'
import { ask } from './program.ts'
import { tableText } from './table.ts'

const list = commandOf({
  name: 'tollgate gateway list',
  summary: 'All gateways that have ever said hello: how far each one is counted, when it last spoke, and what it holds back.',
  options: { json: jsonOption, config: configOption },
  details: 'An hour is complete when every gateway that is not closed or retired is counted past its end. The bill never depends on it.'
}, async (given, context) => {
  const answer = await ask<GatewayListView>(given, context, 'gateway.list', {})
  if (given.has('json')) printJson(context, answer)
  else printList(answer, context)
  return exitCodes.ok
})

function printList ({ completeBefore, gateways }: GatewayListView, { io }: CommandContext): void {
  const columns = [{ title: 'gateway' }, { title: 'state' }, { title: 'open streams', isRight: true }, { title: 'counted before' }, { title: 'uncounted', isRight: true }, { title: 'last seen' }, { title: 'holds back' }]
  io.out(tableText(columns, gateways.map(({ gatewayId, state, openStreams, countedBefore, uncounted, lastSeen, holds }) =>
    [gatewayId, state, String(openStreams), countedBefore ?? '-', String(uncounted), lastSeen, holds.length === 0 ? '-' : 'the next hour'])))
  for (const { gatewayId, holds } of gateways) for (const reason of holds) io.out(`${gatewayId}: ${reason}\n`)
  for (const { gatewayId, retirement } of gateways) {
    if (retirement !== null) io.out(`${gatewayId} was retired at ${retirement.at}${retirement.isLost ? ', its unsent events given up' : ''}: ${retirement.reason}\n`)
  }
  io.out(completeBefore === null ? '\nno hour is complete yet\n' : `\ncomplete before ${completeBefore}\n`)
}

const retire = commandOf({
  name: 'tollgate gateway retire',
  summary: 'Ends a gateway that will not come back, so that it holds no hour back any more. It stays on record.',
  positionals: [{ name: 'GATEWAY', description: 'As in the list.' }],
  options: {
    reason: { value: 'TEXT', description: 'Why it is ended.', isRequired: true },
    lost: { description: 'Give up what it has journaled and nobody has counted: its disk is gone.' },
    force: { description: 'Also a gateway that has spoken within the last minute: its silent streams end, as of a journal that was lost.' },
    json: jsonOption,
    config: configOption
  },
  details: `A gateway that speaks again under its name is there again, and what its journal still holds is counted.
Without --lost it is refused while events that it has journaled are not counted.`
}, async (given, context) => {
  const [gatewayId] = given.positionals
  const retired = await ask<RetirementView>(given, context, 'gateway.retire', { gatewayId, reason: given.text('reason'), isLost: given.has('lost'), isForced: given.has('force') })
  if (given.has('json')) printJson(context, retired)
  else context.io.out(`${retired.gatewayId} is retired${retired.isLost ? ', and what it had not sent is given up' : ''}\n`)
  return exitCodes.ok
})

export const gatewayCommand = commandGroup('tollgate gateway', 'The gateways of a cluster, as a billing server knows them.', {
  list: { summary: 'shows all gateways and what they hold back', command: list },
  retire: { summary: 'ends a gateway that will not come back', command: retire }
})
