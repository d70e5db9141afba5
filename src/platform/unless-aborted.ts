/**
 * What `work` comes to, or undefined once the signal is aborted: for what may take as long as another machine is silent, and can't be ended.
 * @throws what `work` rejects with before that
 */
export async function unlessAborted<Result> (signal: AbortSignal, work: Promise<Result>): Promise<Result | undefined> {
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>()
  const onAbort = (): void => { resolve(undefined) }
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([aborted, work])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
