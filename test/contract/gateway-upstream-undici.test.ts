import { openUndiciUpstream } from '../../src/gateway/upstream-undici.ts'
import { upstreamContract } from './gateway-upstream-suite.ts'

upstreamContract('undici', (config) => openUndiciUpstream(config))
