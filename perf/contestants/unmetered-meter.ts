// The gateway's meter, but for the metering: no event is made, nothing goes to the journal, and an answer is released as
// soon as it is complete. What the product costs beyond this is the price of being durably metered.
import type { Answer, JournalSide, Meter as MeterOfTheProduct, MeterOptions, TicketHolder } from '../../src/gateway/meter.ts'

export class Meter implements Pick<MeterOfTheProduct, keyof MeterOfTheProduct> {
  unpriced = 0
  readonly waiting = 0
  readonly isOpen = true
  readonly admission = 'open'

  constructor (_journal: JournalSide, _options: MeterOptions) {}

  begin (): number { return Date.now() }
  end (_requestTimeMs: number): void {}
  mayRecordRefusal (): boolean { return true }

  record (_answer: Answer, holder: TicketHolder, _isRefusal: boolean): void {
    // The product settles after `record` has returned, and its callers rely on that.
    queueMicrotask(() => { holder.settled(false) })
  }
}
