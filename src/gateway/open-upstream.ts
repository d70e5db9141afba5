// Which HTTP client speaks to a server, and all servers of an upstream together.
import type { UpstreamConfig } from '../config/schema.ts'
import type { Clock } from '../platform/clock.ts'
import type { UpstreamCounts } from './counters.ts'
import { Targets } from './targets.ts'
import { openPlainUpstream } from './upstream-plain.ts'
import { openUndiciUpstream } from './upstream-undici.ts'
import type { Upstream } from './upstream.ts'

export function openUpstream (config: UpstreamConfig, clock: Clock, counts?: UpstreamCounts): Targets { return new Targets(config, openClient, clock, counts) }

function openClient (config: UpstreamConfig): Upstream {
  return config.url.startsWith('https:') ? openUndiciUpstream(config) : openPlainUpstream(config)
}
