import { JournalState } from '../../src/journal/memory.ts'
import { openEmbeddedUsageLog } from '../../src/usage-log/embedded.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRigJournal } from '../helpers/shipper-rig.ts'
import { spoilJournal, usageLogContract } from './usage-log-suite.ts'

usageLogContract('embedded', async (t) => ({
  hasMarks: true,
  start: async (folder) => {
    const { journal, offer, close } = await startRigJournal(t, { prefix: '', gatewayId: 'gateway-1', partitions: 1 }, folder)
    const state = new JournalState(journal.reader.state)
    return {
      offer,
      // What is durable in the journal is in the log.
      arrived: async () => {},
      stop: close,
      open: () => {
        const log = openEmbeddedUsageLog(journal.reader)
        t.after(() => log.close())
        return log
      },
      archive: async (log, { progress }) => {
        const { oldestSegment } = state
        await log.reportProgress(0, progress)
        await eventually('a segment is recycled', () => state.oldestSegment > oldestSegment)
      },
      spoil: () => { spoilJournal(folder, 4_000) }
    }
  }
}))
