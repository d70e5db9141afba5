// A watermark can't be in the broker's future: the gateway's clock is wrong, and its requests count in hours to come.
import type { Logger } from '../platform/logger.ts'
import type { PlacedMark } from './gateway-book.ts'

export interface ClockAlarm { readonly take: (mark: PlacedMark) => void, readonly count: () => number }

export function openClockAlarm (log: Logger): ClockAlarm {
  /** Said once a stream; the number goes on. */
  const told = new Set<string>()
  let count = 0
  return {
    count: () => count,
    take: ({ gatewayId, streamId, watermarkMs, appendMs }) => {
      count++
      if (told.has(streamId)) return
      told.add(streamId)
      log.error({ gatewayId, streamId, aheadMs: watermarkMs - appendMs }, 'a gateway\'s clock is ahead of the broker\'s: its requests count in hours to come; set its clock')
    }
  }
}
