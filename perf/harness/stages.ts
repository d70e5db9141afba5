// Divides a profile of a gateway's worker among the stages of a request: each sample belongs to the innermost function of the
// product on its stack, and to what of the system or the run time that one had called.

export interface ProfileNode { readonly id: number, readonly callFrame: { readonly functionName: string, readonly url: string }, readonly children?: readonly number[] }
export interface Profile { readonly nodes: readonly ProfileNode[], readonly samples?: readonly number[], readonly timeDeltas?: readonly number[] }

/** In the order of a request's life. */
export const stages = [
  'server: accept, read, parse (native)', 'request head, route', 'who it is: key, address', 'limit', 'upstream: request', 'upstream: write (system)', 'upstream: read (Node)',
  'upstream: parse the answer', 'hold and decide', 'usage event', 'hand over to the journal', 'answer: head and body', 'answer: write (system)', 'garbage', 'the rest of the run time'
] as const
export type Stage = typeof stages[number]

/** By the file of the product's source; the first that fits. */
const byFile: readonly (readonly [RegExp, Stage])[] = [
  [/\/gateway\/(?:request-head|facts|router|rules-in-force|target|trace-id|server|client-port|services|cors)\.ts$|\/domain\/route/, 'request head, route'],
  [/\/gateway\/(?:gatekeeper|authentication|client-address)\.ts$|\/registry\//, 'who it is: key, address'],
  [/\/gateway\/(?:rate-limits|open-limiter)\.ts$|\/limiter\//, 'limit'],
  [/\/gateway\/(?:response-parser|status-line)\.ts$/, 'upstream: parse the answer'],
  [/\/gateway\/(?:upstream|plain|targets|upload|open-upstream)[\w-]*\.ts$/, 'upstream: request'],
  [/\/gateway\/(?:meter|account)\.ts$|\/domain\/(?:usage-event|json-text|window|price-book|partition)/, 'usage event'],
  [/\/journal\//, 'hand over to the journal'],
  [/\/gateway\/(?:reply|answer-head|problem|relay|last-answers)\.ts$/, 'answer: head and body'],
  [/\/gateway\//, 'hold and decide']
]

/** What a stage's code had called. */
const writesUpstream = /^(?:write\w*String|writeBuffer|writev)$/
const writesAnswer = /^(?:collect|end|cork|write|tryEnd)$/

function stageOf (stack: readonly ProfileNode[]): Stage | undefined {
  const leaf = stack[0]?.callFrame
  if (leaf === undefined || leaf.functionName === '(idle)') return undefined
  if (leaf.functionName === '(garbage collector)') return 'garbage'
  if (leaf.functionName === '(program)') return 'server: accept, read, parse (native)'
  const isNative = leaf.url === ''
  if (isNative && writesUpstream.test(leaf.functionName)) return 'upstream: write (system)'
  for (const { callFrame } of stack) {
    const found = callFrame.url.includes('/src/') ? byFile.find(([pattern]) => pattern.test(callFrame.url))?.[1] : undefined
    if (found !== undefined) return isNative && found === 'answer: head and body' && writesAnswer.test(leaf.functionName) ? 'answer: write (system)' : found
  }
  return stack.some(({ callFrame }) => callFrame.functionName === 'onStreamRead') ? 'upstream: read (Node)' : 'the rest of the run time'
}

/** @returns each stage's share of the time in which the thread had something to do; together 1 */
export function shareByStage ({ nodes, samples = [], timeDeltas = [] }: Profile): ReadonlyMap<Stage, number> {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parentOf = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const known = new Map<number, Stage | undefined>()
  const stageAt = (id: number): Stage | undefined => {
    if (known.has(id)) return known.get(id)
    const stack: ProfileNode[] = []
    for (let at: number | undefined = id; at !== undefined; at = parentOf.get(at)) {
      const node = byId.get(at)
      if (node !== undefined) stack.push(node)
    }
    const stage = stageOf(stack)
    known.set(id, stage)
    return stage
  }
  const times = new Map<Stage, number>()
  samples.forEach((id, index) => {
    const stage = stageAt(id)
    if (stage !== undefined) times.set(stage, (times.get(stage) ?? 0) + (timeDeltas[index] ?? 0))
  })
  const total = [...times.values()].reduce((sum, time) => sum + time, 0)
  return new Map(stages.map((stage) => [stage, total === 0 ? 0 : (times.get(stage) ?? 0) / total]))
}
