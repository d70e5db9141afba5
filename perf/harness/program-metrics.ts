// Numbers that a running Tollgate exports, read as an operator's Prometheus reads them.

/** Every metric's sum over its labels. @throws when nobody answers */
export async function readMetrics (operatorPort: number): Promise<ReadonlyMap<string, number>> {
  const response = await fetch(`http://127.0.0.1:${operatorPort}/metrics`)
  const text = await response.text()
  if (!response.ok) throw new Error(`/metrics was answered with ${response.status}`)
  const sums = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, name, value] = /^([a-z_]+)(?:\{.*\})? (\S+)$/.exec(line) ?? []
    if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value))
  }
  return sums
}

/** One value by its labels, 0 when it isn't there. @param sample such as `name{state="owning"}` @throws when nobody answers */
export async function readMetric (operatorPort: number, sample: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${operatorPort}/metrics`)
  const text = await response.text()
  if (!response.ok) throw new Error(`/metrics was answered with ${response.status}`)
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${sample} `))
  return line === undefined ? 0 : Number(line.slice(sample.length + 1))
}
