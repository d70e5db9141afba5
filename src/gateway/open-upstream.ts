// Which HTTP client speaks to an upstream.
import type { UpstreamConfig } from '../config/schema.ts'
import { openPlainUpstream } from './upstream-plain.ts'
import { openUndiciUpstream } from './upstream-undici.ts'
import type { Upstream } from './upstream.ts'

export function openUpstream (config: UpstreamConfig): Upstream {
  return config.url.startsWith('https:') ? openUndiciUpstream(config) : openPlainUpstream(config)
}
