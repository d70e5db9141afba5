// Questions between threads: a request has one answer, an error keeps its code. Ports are bounded by their callers:
// every method here is asked by the main thread at an operator's pace, or pulls its next batch only after the last.

interface Request { readonly kind: 'request', readonly call: number, readonly method: string, readonly argument: unknown }
interface Response { readonly kind: 'response', readonly call: number, readonly result?: unknown, readonly error?: { readonly message: string, readonly code?: string } }
interface Notice { readonly kind: 'notice', readonly topic: string, readonly content: unknown }
type Message = Request | Response | Notice

export type Handlers = Readonly<Record<string, (argument: never) => unknown>>

/** What both a worker's parentPort and a Worker offer. */
export interface RpcPort {
  postMessage: (message: unknown) => void
  // A method, not a property: its parameter may be narrower than what Worker and MessagePort declare.
  on (event: 'message', listener: (message: unknown) => void): unknown
}

export interface Rpc {
  /** Asks the other side. Rejects with its error, code kept, or when the other side has ended. */
  ask: <Result>(method: string, argument?: unknown) => Promise<Result>
  /** Tells the other side something that needs no answer. */
  tell: (topic: string, content?: unknown) => void
  /** Ends all open questions with `reason`. */
  fail: (reason: Error) => void
}

export class RemoteError extends Error {
  readonly code: string | undefined
  constructor (message: string, code: string | undefined) {
    super(message)
    this.name = 'RemoteError'
    this.code = code
  }
}

function describe (error: unknown): NonNullable<Response['error']> {
  if (!(error instanceof Error)) return { message: String(error) }
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' ? { message: error.message, code } : { message: error.message }
}

export function openRpc (port: RpcPort, handlers: Handlers, notices: Readonly<Record<string, (content: never) => void>> = {}): Rpc {
  const waiting = new Map<number, { resolve: (result: never) => void, reject: (error: Error) => void }>()
  let callCount = 0
  let ended: Error | undefined

  const answer = async (request: Request): Promise<void> => {
    try {
      const handler = handlers[request.method]
      if (handler === undefined) throw new Error(`no such method: ${request.method}`)
      const result: unknown = await handler(request.argument as never)
      port.postMessage({ kind: 'response', call: request.call, result } satisfies Response)
    } catch (error) {
      port.postMessage({ kind: 'response', call: request.call, error: describe(error) } satisfies Response)
    }
  }

  const settle = (response: Response): void => {
    const question = waiting.get(response.call)
    if (question === undefined) return
    waiting.delete(response.call)
    if (response.error !== undefined) question.reject(new RemoteError(response.error.message, response.error.code))
    else question.resolve(response.result as never)
  }

  port.on('message', (content) => {
    const message = content as Message
    switch (message.kind) {
      case 'request': void answer(message); break
      case 'response': settle(message); break
      case 'notice': notices[message.topic]?.(message.content as never); break
    }
  })

  return {
    ask: (method, argument) => new Promise((resolve, reject) => {
      if (ended !== undefined) { reject(ended); return }
      const call = ++callCount
      waiting.set(call, { resolve, reject })
      port.postMessage({ kind: 'request', call, method, argument } satisfies Request)
    }),
    tell: (topic, content) => { port.postMessage({ kind: 'notice', topic, content } satisfies Notice) },
    fail: (reason) => {
      ended = reason
      for (const question of waiting.values()) question.reject(reason)
      waiting.clear()
    }
  }
}
