// Money is exact: `bigint` micro-units of one currency. An amount is rounded only where it leaves the system, and only here.

const microsPerWhole = 1_000_000n
const wholeDigitsMax = 12
const moneyPattern = new RegExp(`^(-?)(0|[1-9]\\d{0,${wholeDigitsMax - 1}})(?:\\.(\\d{1,6}))?$`)

/** The largest amount that can be written in a file: with it a price times the units of an hour stays far within 128 bits. */
export const moneyMicrosMax = 10n ** BigInt(wholeDigitsMax) * microsPerWhole - 1n

/** '12.5' -> 12_500_000n. Undefined for anything but a plain decimal of at most 12 digits before the point and 6 after it. */
export function parseMoney (text: string): bigint | undefined {
  const parts = moneyPattern.exec(text)
  if (parts === null) return undefined
  const [, sign, whole = '0', fraction = ''] = parts
  const micros = BigInt(whole) * microsPerWhole + BigInt(fraction.padEnd(6, '0'))
  return sign === '-' ? -micros : micros
}

/** 12_500_000n -> '12.5': no exponent, no zeros at the end, no point before nothing. */
export function formatMoney (micros: bigint): string {
  const sign = micros < 0n ? '-' : ''
  const size = micros < 0n ? -micros : micros
  const fraction = (size % microsPerWhole).toString().padStart(6, '0').replace(/0+$/, '')
  return `${sign}${size / microsPerWhole}${fraction === '' ? '' : `.${fraction}`}`
}

/**
 * The one rounding: to the nearest whole unit, a half away from zero, as an invoice is rounded by hand. It is symmetric,
 * so an adjustment takes back exactly what was charged: roundToWhole(-x) === -roundToWhole(x).
 */
export function roundToWhole (micros: bigint): bigint {
  const half = microsPerWhole / 2n
  return micros < 0n ? (micros - half) / microsPerWhole : (micros + half) / microsPerWhole
}

/**
 * Whole units to show for each part of an amount, in order, so that the shown parts add up to the rounded sum. Each part
 * shows what the running sum gained: no part is off by a whole unit or more, and many small parts don't vanish.
 * `roundParts(parts)` sums to `roundToWhole(sum of parts)`.
 */
export function roundParts (partsMicros: readonly bigint[]): bigint[] {
  let sumMicros = 0n
  let shown = 0n
  return partsMicros.map((partMicros) => {
    sumMicros += partMicros
    const part = roundToWhole(sumMicros) - shown
    shown += part
    return part
  })
}
