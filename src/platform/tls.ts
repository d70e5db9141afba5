// What we speak where we are the server of a TLS connection, whichever library serves it.

/** With forward secrecy and authenticated encryption, for TLS 1.2; those of TLS 1.3 are all such, and not chosen here. */
export const tlsCiphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'
].join(':')

/** Of Node's own servers; the native one has the same minimum by itself. */
export const tlsServerDefaults = { minVersion: 'TLSv1.2', ciphers: tlsCiphers, honorCipherOrder: true } as const
