// `tollgate recover`, at an aggregator of a cluster; and what it says of its partitions.
import type { ClusterAggregatorHandle } from '../../aggregator/cluster-start.ts'
import type { ControlHandlers } from '../control-server.ts'
import { HandlerArgument, needed } from './argument.ts'

const keeps = ['file', 'topic'] as const

export function recoverHandlers (aggregator: Pick<ClusterAggregatorHandle, 'recover' | 'giveUp' | 'status'>): ControlHandlers {
  return {
    recover: async (argument) => {
      const given = new HandlerArgument(argument)
      const decision = { partition: needed('partition', given.integer('partition', 0)), keep: needed('keep', given.choice('keep', keeps)) }
      await aggregator.recover(decision)
      return decision
    },
    'recover.gap': async (argument) => {
      const given = new HandlerArgument(argument)
      return await aggregator.giveUp({
        partition: needed('partition', given.integer('partition', 0)), streamId: needed('streamId', given.text('streamId')), reason: needed('reason', given.text('reason'))
      })
    },
    'aggregator.status': async () => await aggregator.status()
  }
}
