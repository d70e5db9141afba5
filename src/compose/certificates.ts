// The certificates in force: the operator's listener changes its own at a reload, their ends are a metric, and the log reminds
// of one that is near once a day.
import { createSecureContext } from 'node:tls'
import { Server as SecureServer } from 'node:https'
import type { Server } from 'node:http'
import { endWarning } from '../config/certificates.ts'
import type { Certificates } from '../config/certificates.ts'
import { every } from '../platform/clock.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { metricJson } from '../platform/metrics.ts'
import { metricsSource, secureContextOf } from '../platform/operator-http.ts'
import type { OperatorSource } from '../platform/operator-http.ts'
import type { ReloadPart, Rules } from './reload.ts'

const reminderMs = 86_400_000

export function operatorReload (server: Server | SecureServer): ReloadPart {
  let prepared: ReturnType<typeof secureContextOf> | undefined
  return {
    prepare: async ({ certificates: { operator } }) => {
      prepared = operator === undefined ? undefined : secureContextOf(operator)
      if (prepared !== undefined) createSecureContext(prepared)
    },
    commit: async () => {
      if (prepared !== undefined && server instanceof SecureServer) server.setSecureContext(prepared)
      prepared = undefined
    },
    abort: async () => { prepared = undefined }
  }
}

export function certificateSource (inForce: () => Rules): OperatorSource {
  return metricsSource('certificates', async () => [
    [metricJson('tollgate_certificate_not_after_seconds', served(inForce).map(([listener, { notAfterMs }]) => ({ labels: { listener }, value: Math.floor(notAfterMs / 1000) })))]
  ])
}

/** The start and each reload say it by themselves. */
export function remindOfCertificates (inForce: () => Rules, clock: Clock, log: Logger): Timer {
  return every(reminderMs, () => {
    for (const [listener, certificate] of served(inForce)) {
      const warning = endWarning(listener, certificate, clock.nowMs())
      if (warning !== undefined) log.warn({ listener }, warning)
    }
  })
}

function served (inForce: () => Rules): [string, NonNullable<Certificates[keyof Certificates]>][] { return Object.entries(inForce().certificates) }
