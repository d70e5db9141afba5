import { Targets } from '../../src/gateway/targets.ts'
import { openPlainUpstream } from '../../src/gateway/upstream-plain.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { upstreamContract } from './gateway-upstream-suite.ts'

upstreamContract('targets', (config) => new Targets(config, openPlainUpstream, systemClock))
