// Which HTTP client speaks to a server, and all servers of an upstream together.
import type { UpstreamConfig } from '../config/schema.ts'
import type { UpstreamTls } from '../config/upstream-tls.ts'
import type { Clock } from '../platform/clock.ts'
import type { UpstreamCounts } from './counters.ts'
import { Targets } from './targets.ts'
import { openPlainUpstream } from './upstream-plain.ts'
import { openUndiciUpstream } from './upstream-undici.ts'
import type { Upstream } from './upstream.ts'

export function openUpstream (config: UpstreamConfig, clock: Clock, counts?: UpstreamCounts, tls?: UpstreamTls): Targets { return new Targets(config, (each) => openClient(each, tls), clock, counts) }

function openClient (config: UpstreamConfig, tls: UpstreamTls | undefined): Upstream {
  return config.url.startsWith('https:') ? openUndiciUpstream(config, tls) : openPlainUpstream(config)
}
