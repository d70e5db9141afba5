// The keys under `gateway`: what clients meet, and where their requests go.
import type Type from 'typebox'
import { choice, either, flag, group, integer, list, map, optional, secret, size, text } from './setting.ts'

const dayMs = 86_400_000
const methodPattern = '[A-Z][A-Z-]{0,31}'

const headerName = text({ description: 'A header\'s name.', pattern: '[A-Za-z0-9!#$%&\'*+.^_`|~-]{1,64}', patternMeaning: 'a header\'s name' })

const cors = group({
  origins: list(text({ description: 'An origin as browsers send it, `https://*.example.com` for every name below it, or `*` for everybody.', pattern: '\\*|https?://(\\*\\.)?[a-z0-9_]([a-z0-9_.-]{0,252})(:\\d{1,5})?|https?://\\[[0-9a-f:]+\\](:\\d{1,5})?', patternMeaning: 'scheme, host in lower case and perhaps a port, or `*`' }), { description: 'Pages of these origins may read the route\'s answers.', itemsMax: 100 }),
  methods: list(text({ description: 'A method.', pattern: methodPattern, patternMeaning: 'a method in capitals' }), { description: 'What they may send. Empty: the methods of the route; where it takes every method: GET, HEAD, POST, PUT, PATCH, DELETE.', itemsMax: 32, default: [] }),
  headers: list(headerName, { description: 'Headers that they may send.', itemsMax: 100, default: ['Content-Type', 'X-API-KEY'] }),
  exposedHeaders: list(headerName, { description: 'Headers of the answers that they may read.', itemsMax: 100, default: ['X-TRACE-ID', 'X-RateLimit-Remaining', 'RateLimit', 'RateLimit-Policy', 'Retry-After'] }),
  credentials: flag({ description: 'They may send cookies.', default: false }),
  maxAgeS: integer({ description: 'How long a browser may remember the answer to a preflight.', unit: 's', minimum: 0, maximum: 86_400, default: 600 })
}, { description: 'Answers of this route may be read from pages of other origins (CORS). The gateway answers preflights by itself, unmetered and without a key, and its headers take the place of the upstream\'s.' })

const route = group({
  id: text({ description: 'Names the route in usage events, metrics and logs.', pattern: '[A-Za-z0-9][A-Za-z0-9._-]{0,63}', patternMeaning: 'letters, digits, `.`, `_` and `-`, 64 at most' }),
  hosts: list(text({ description: 'A host name, or `*.example.com` for every name below it.', pattern: '(\\*\\.)?[a-z0-9_]([a-z0-9_.-]{0,252})', patternMeaning: 'a host name in lower case without port' }), { description: 'Only requests for these hosts. A route that names the host comes before those that name none. Empty: every host.', itemsMax: 100, default: [] }),
  methods: list(text({ description: 'A method.', pattern: methodPattern, patternMeaning: 'a method in capitals' }), { description: 'Only these methods; GET includes HEAD. Empty: every method.', itemsMax: 32, default: [] }),
  path: text({ description: 'A path pattern: `/tracking/{id}/end`, or `/tracking/**` for the path and all below it. The one with the most literal segments wins.' }),
  upstream: text({ description: 'A name under `gateway.upstreams`.' }),
  rewrite: optional(text({ description: 'The path for the upstream, made of the variables of `path` (and `**`): `/v2/{id}`. Without it the path goes on as it came.' })),
  isPublic: flag({ description: 'No key is asked for, nothing is metered or billed.', default: false }),
  requestedTokens: integer({ description: 'What one request takes from its key\'s rate.', unit: 'tokens', minimum: 1, maximum: 1_000_000_000, default: 1 }),
  units: either(
    integer({ description: 'Units of each answer.', unit: 'units', minimum: 0, maximum: 1_000_000_000, default: 1 }),
    group({ header: text({ description: 'The header of the upstream\'s answer that says how many units it costs. Clients don\'t get it.', pattern: '[A-Za-z0-9-]{1,64}', patternMeaning: 'a header\'s name' }) }, { description: 'Read from the answer; 1 where the header is missing or no whole number.' }),
    { description: 'What one answer costs, in units of its endpoint\'s price: a number, or `{ header: X-Units }`.', default: 1 }
  ),
  requestBytesMax: optional(size({ description: 'The longest request body of this route, instead of `gateway.requestBytesMax`.', minimum: 0, maximum: 2 ** 40 })),
  headerBytesMax: optional(size({ description: 'The longest head of a request of this route, if it is shorter than `gateway.headerBytesMax`: request line and headers, without blanks around their values.', minimum: 1_024, maximum: 1_048_576 })),
  headersMax: optional(integer({ description: 'The most headers of a request of this route. The server under the gateway takes some 100.', unit: 'headers', minimum: 1, maximum: 100 })),
  forwardApiKey: flag({ description: 'The upstream gets the X-API-KEY header too.', default: false }),
  forwardPreflights: flag({ description: 'CORS preflights (OPTIONS without a key) go to the upstream, unmetered; else they are refused like any request without a key. Where there is `cors`, the gateway answers them.', default: true }),
  cors: optional(cors),
  trustTraceId: flag({ description: 'A valid X-TRACE-ID of the client is kept; else each request gets a new one.', default: false })
}, { description: 'Which requests go where.' })

const urlText = { pattern: 'https?://[^/?#@\\s]+/?', patternMeaning: 'http:// or https://, a host and perhaps a port, no path or password' }

const upstream = group({
  url: text({ description: 'Scheme, host and port: `http://127.0.0.1:3000`.', ...urlText }),
  otherUrls: list(text({ description: 'Scheme, host and port.', ...urlText }), { description: 'Further servers that answer like the one of `url`. Each request goes to the one with the fewest in flight.', itemsMax: 64, default: [] }),
  failuresMax: integer({ description: 'A server that fails so many requests in a row is left out for a while, if there is another.', unit: 'requests', minimum: 1, maximum: 1_000, default: 3 }),
  outMs: integer({ description: 'How long it is left out; then one request tries it. Twice as long each further time, up to a minute.', unit: 'ms', minimum: 10, maximum: 60_000, default: 5_000 }),
  retriesMax: integer({ description: 'How often a request is sent again that got nothing of an answer: if no connection was made, to another server; else only GET, HEAD, OPTIONS, TRACE, PUT and DELETE. Never one with a body that is streamed. It is billed once.', unit: 'times', minimum: 0, maximum: 5, default: 1 }),
  connectTimeoutMs: integer({ description: 'Until a connection stands; then G0008.', unit: 'ms', minimum: 1, maximum: 600_000, default: 2_000 }),
  responseTimeoutMs: integer({ description: 'From the request\'s last byte to the answer\'s head; then G0009.', unit: 'ms', minimum: 1, maximum: dayMs, default: 30_000 }),
  idleTimeoutMs: integer({ description: 'Silence within a body, either way.', unit: 'ms', minimum: 1, maximum: dayMs, default: 30_000 }),
  keepAliveMs: integer({ description: 'How long an unused connection is kept.', unit: 'ms', minimum: 1, maximum: dayMs, default: 4_000 }),
  connectionsMax: integer({ description: 'Connections of one worker to it; further requests wait for one.', unit: 'connections', minimum: 1, maximum: 65_535, default: 256 }),
  forwardHost: flag({ description: 'The upstream gets the client\'s Host header; else the host of `url`.', default: false }),
  tls: optional(group({
    caFile: optional(text({ description: 'PEM file of the authority that signed its certificate, where it is not one that everybody trusts; no other is trusted then.', isPath: true })),
    certificateFile: optional(text({ description: 'PEM file of the gateway\'s own certificate, where the upstream asks for one.', isPath: true })),
    keyFile: optional(text({ description: 'PEM file of its private key.', isPath: true })),
    serverName: optional(text({ description: 'The name that its certificate must have, instead of the host of the address.', pattern: '[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})', patternMeaning: 'a host name' }))
  }, { description: 'How an upstream of https:// is spoken to.' })),
  secretHeader: optional(group({
    name: text({ description: 'The header.', pattern: '[A-Za-z0-9-]{1,64}', patternMeaning: 'a header\'s name' }),
    value: secret({ description: 'What only the gateway and the upstream know.', file: 'valueFile', lengthMin: 16, pattern: '[\\x21-\\x7e]+', patternMeaning: 'visible ASCII without spaces, as it goes into a header' })
  }, { description: 'Proves to the upstream that a request came through the gateway. A client\'s own header of that name is dropped.' }))
}, { description: 'A server that answers the requests.' })

/** Clients meet the gateway here. */
export const gateway = group({
  listen: group({
    host: text({ description: 'Address to listen on; 0.0.0.0 for every IPv4 address.', default: '0.0.0.0' }),
    port: integer({ description: 'TCP port.', unit: 'port', minimum: 1, maximum: 65_535, default: 8080 }),
    tls: optional(group({
      certificateFile: text({ description: 'PEM file of the certificate and its chain.', isPath: true }),
      keyFile: text({ description: 'PEM file of the private key.', isPath: true }),
      clientCaFile: optional(text({ description: 'PEM file of the authorities that sign clients\' certificates: a connection without a certificate of theirs is refused (docs/http.md).', isPath: true }))
    }, { description: 'Serve HTTPS on this port instead of HTTP.' }))
  }, { description: 'Where clients connect.' }),
  workers: integer({ description: 'Threads that serve requests, all on one port.', unit: 'threads', minimum: 1, maximum: 64, default: 'auto', auto: 'one less than the machine has cores, at least 1' }),
  routes: list(route, { description: 'Which requests go where. What matches no route is answered with G0007.', itemsMax: 1_000, default: [] }),
  upstreams: map(upstream, { description: 'The servers behind the gateway, by names of your own.', entriesMax: 100, default: {} }),
  requestBytesMax: size({ description: 'The longest request body; a longer one is answered with 413.', minimum: 0, maximum: 2 ** 40, default: '10MiB' }),
  bodiesAheadBytesMax: size({ description: 'What one worker holds of request bodies that come faster than their upstreams take them; beyond it a body that is more than 1 MiB ahead is refused with 413 and Retry-After. Clients are paused long before, but a fast one is heard on with all that the kernel holds of it (net.ipv4.tcp_rmem).', minimum: 1_048_576, maximum: 2 ** 40, default: '64MiB' }),
  headerBytesMax: size({ description: 'The longest head of a request; a longer one is answered with 431.', minimum: 1_024, maximum: 1_048_576, default: '16KiB' }),
  connectionsMax: integer({ description: 'Connections of clients that one worker holds; one more is closed at once. Each takes a file descriptor.', unit: 'connections', minimum: 1, maximum: 1_000_000, default: 20_000 }),
  inFlightMax: integer({ description: 'Requests that one worker handles at a time; beyond it clients get G0010 at once.', unit: 'requests', minimum: 1, maximum: 1_000_000, default: 4_096 }),
  addressConnectionsMax: integer({ description: 'Connections of one client\'s address (IPv6: its /64 network) to all workers; one more is closed at once. Counted once a second. Trusted proxies have no such bound.', unit: 'connections', minimum: 1, maximum: 1_000_000, default: 4_096 }),
  addressInFlightMax: integer({ description: 'Requests of one client\'s address that one worker forwards at a time; beyond it the client gets G0010. Behind a trusted proxy it is the address that the proxy names.', unit: 'requests', minimum: 1, maximum: 1_000_000, default: 1_024 }),
  clientBytesPerSMin: integer({ description: 'A client that sends its body, or takes its answer, with less than so many bytes a second over `clientTimeoutMs` is cut.', unit: 'bytes', minimum: 0, maximum: 1_000_000_000, default: 1_024 }),
  clientTimeoutMs: integer({ description: 'The time over which a client\'s speed is looked at.', unit: 'ms', minimum: 1_000, maximum: 3_600_000, default: 60_000 }),
  stopTimeoutMs: integer({ description: 'How long a stop waits for requests in flight before it cuts them.', unit: 'ms', minimum: 0, maximum: 3_600_000, default: 35_000 }),
  trustedProxies: list(text({ description: 'An address or a block such as 10.0.0.0/8.' }), { description: 'Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.', itemsMax: 1_000, default: [] }),
  clientIp: choice(['full', 'truncated', 'off'], { description: 'What usage events hold of a client\'s address: all of it, its network (/24, /48), nothing.', default: 'full' })
}, { description: 'What clients meet, and where their requests go.' })

export type GatewayConfig = Type.Static<typeof gateway>
export type RouteConfig = GatewayConfig['routes'][number]
export type CorsConfig = NonNullable<RouteConfig['cors']>
export type UpstreamConfig = GatewayConfig['upstreams'][string]
