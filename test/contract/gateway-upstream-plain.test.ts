import { openPlainUpstream } from '../../src/gateway/upstream-plain.ts'
import { upstreamContract } from './gateway-upstream-suite.ts'

upstreamContract('plain', openPlainUpstream)
