// What the product is to reach, each goal with the place on the page where its figure stands.
import { figureAt } from './page-tables.ts'
import type { PageTable } from './page-tables.ts'

interface Place { readonly scenario: string, readonly title: string, readonly row: readonly string[], readonly column: string }

export interface Goal {
  readonly text: string
  readonly bound: { readonly most: number } | { readonly least: number }
  /** The worst of them counts. */
  readonly places: readonly Place[]
}

const metered = ['Tollgate, authenticated + limited + durably metered', '64']
const rival = (text: string, name: string, most: number): Goal => ({ text, bound: { most }, places: [{ scenario: 'rivals', title: 'Tollgate\'s CPU a request', row: [name], column: 'all of it' }] })
const scale = 'CPU of Tollgate\'s process'
const scaleRow = (text: string, row: string): Goal => ({ text, bound: { most: 1.1 }, places: [{ scenario: 'scale', title: scale, row: [row], column: 'x one' }] })
const both = (size: string): Place[] => ['down', 'up'].map((direction) => ({ scenario: 'bodies', title: 'Bodies', row: [`${size} ${direction}`], column: 'x nginx' }))
const grown = (...rows: readonly string[]): Place[] => rows.map((events) => ({ scenario: 'growth', title: 'As stored events grow', row: [events], column: 'x the least' }))
const roleMemory = (role: string, most: number): Goal => ({ text: `The ${role} by itself, most MB`, bound: { most }, places: [{ scenario: 'cluster-rate', title: 'Memory of each role', row: [role], column: 'most' }] })

export const goals: readonly Goal[] = [
  { text: 'Metered gateway, 64 connections: CPU a request against nginx', bound: { most: 2 }, places: [{ scenario: 'gateway', title: 'Saturation', row: metered, column: 'x nginx' }] },
  { text: '... against fastify\'s bare proxy', bound: { most: 0.33 }, places: [{ scenario: 'gateway', title: 'Saturation', row: metered, column: 'x fastify' }] },
  rival('... against Caddy\'s bare proxy', 'Caddy, bare proxy', 0.33),
  rival('... against Spring Cloud Gateway with the same features', 'Spring Cloud Gateway, JWT + limit in Redis + event to Kafka', 0.125),
  { text: 'Durable metering\'s share, 64 connections, % of the gateway', bound: { most: 15 }, places: [{ scenario: 'gateway', title: 'What durable metering adds', row: ['64', 'autocannon'], column: 'of the gateway' }] },
  scaleRow('10,000 keys against one', '10,000 keys in turn'),
  scaleRow('1,000 routes against one', '1,000 routes in turn'),
  scaleRow('10,000 idle connections against none', '10,000 idle connections beside'),
  scaleRow('Two workers against one', 'two workers'),
  { text: 'An idle connection, KB', bound: { most: 5 }, places: [{ scenario: 'scale', title: 'Memory of', row: [], column: 'KB a connection' }] },
  { text: 'Bodies of 1 KB, throughput against nginx', bound: { least: 0.8 }, places: both('1 KB') },
  { text: 'Bodies of 100 KB', bound: { least: 0.8 }, places: both('100 KB') },
  { text: 'Bodies of 100 MB', bound: { least: 0.8 }, places: both('100 MB') },
  { text: 'Journal at saturation, bytes to the device per event byte', bound: { most: 1.5 }, places: [{ scenario: 'journal', title: 'The journal', row: ['saturation'], column: 'bytes to the device per event byte' }] },
  { text: '... at 1,000 requests/s', bound: { most: 6 }, places: [{ scenario: 'journal', title: 'The journal', row: ['1,000 requests/s'], column: 'bytes to the device per event byte' }] },
  { text: 'All roles in one process, requests/s for ten minutes', bound: { least: 10_000 }, places: [{ scenario: 'rates', title: 'The highest rate', row: [], column: 'requests/s' }] },
  { text: 'Cluster, requests/s for half an hour', bound: { least: 1_000 }, places: [{ scenario: 'cluster-rate', title: '1,000 requests/s for 1800 s', row: [], column: 'requests/s' }] },
  { text: 'Shipper to three brokers, events/s a core', bound: { least: 30_000 }, places: [{ scenario: 'shipper', title: '', row: [], column: 'events/s a core' }] },
  { text: 'Journal to ledger with archive, events/s a core', bound: { least: 200_000 }, places: [{ scenario: 'pipeline', title: '', row: [], column: 'events/s a core' }] },
  { text: 'Kafka to hourly counts with archive, events/s a core', bound: { least: 120_000 }, places: [{ scenario: 'cluster-pipeline', title: '', row: [], column: 'events/s a core' }] },
  { text: 'Structured Streaming\'s CPU an event, from Kafka, against Tollgate\'s', bound: { least: 15 }, places: [{ scenario: 'spark', title: '', row: ['Structured Streaming, from Kafka: second run'], column: 'x Tollgate from Kafka' }] },
  { text: 'From an answer to the bill, all roles in one process, p99 s', bound: { most: 2 }, places: ['1,000', '10,000'].map((rate) => ({ scenario: 'freshness', title: '', row: [rate], column: 'p99' })) },
  { text: '... through Kafka', bound: { most: 5 }, places: [{ scenario: 'cluster-freshness', title: '', row: [], column: 'p99' }] },
  { text: 'A member\'s month by day and key, p99 ms', bound: { most: 10 }, places: [{ scenario: 'billing', title: '', row: ['usage by day and usage by key'], column: 'p99' }] },
  { text: 'Cost a request, 10,000,000 stored events against 100,000', bound: { most: 1.1 }, places: grown('1,000,000', '10,000,000') },
  { text: '... 100,000,000', bound: { most: 1.1 }, places: grown('100,000,000') },
  roleMemory('gateway', 250), roleMemory('aggregator', 512), roleMemory('billing', 200),
  { text: 'All roles in one process, most MB', bound: { most: 600 }, places: [{ scenario: 'memory', title: '', row: [], column: 'most' }] }
]

export interface Judged { readonly goal: Goal, /** Undefined: not on the page. */ readonly value: number | undefined, readonly isMet: boolean | undefined }

export function judge (tables: readonly PageTable[]): Judged[] {
  return goals.map((goal) => {
    const { bound } = goal
    const figures = goal.places.map((place) => figureAt(tables, place)?.median)
    const known = figures.filter((figure) => figure !== undefined)
    if (known.length < figures.length) return { goal, value: undefined, isMet: undefined }
    const value = 'most' in bound ? Math.max(...known) : Math.min(...known)
    return { goal, value, isMet: 'most' in bound ? value <= bound.most : value >= bound.least }
  })
}
