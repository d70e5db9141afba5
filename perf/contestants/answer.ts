// The one answer that all upstreams of the benchmark give, and the request that asks for it.

/** 100 bytes of JSON. */
export const answerBody = '{"tour":"t1","positions":42,"latitude":52.52000,"longitude":13.40495,"state":"moving","eta":"14:05"}'
if (Buffer.byteLength(answerBody) !== 100) throw new Error(`the answer has ${Buffer.byteLength(answerBody)} bytes, not 100`)

export const meteredPath = '/api/things/t1'
export const publicPath = '/open/things/t1'
