// Hours and days of the bill, in UTC. An hour is an integer: whole hours since the epoch. A day is always given by its
// first hour and the hour after its last one, so that a day of another time zone can be added without touching a caller.

export const hourMs = 3_600_000
export const hoursPerDay = 24

/** The last millisecond that still has four digits of year. */
export const timeMsMax = 253_402_300_799_999

/** The hour that holds the instant `timeMs`. */
export function hourOf (timeMs: number): number { return Math.floor(timeMs / hourMs) }

export function hourStartMs (hour: number): number { return hour * hourMs }

/** The start of the first hour that can't have been called complete at `atMs`: its end and the grace are not over. */
export function earliestOpenMs (atMs: number, graceMs: number): number { return hourStartMs(hourOf(atMs - graceMs)) }

/** The first instant after the hour. */
export function hourEndMs (hour: number): number { return (hour + 1) * hourMs }

export function isHourBoundary (timeMs: number): boolean { return timeMs % hourMs === 0 }

/** A calendar day: hours `firstHour <= hour < endHour`. */
export interface Day { readonly date: string, readonly firstHour: number, readonly endHour: number }

/** The UTC day that holds `hour`. */
export function dayOf (hour: number): Day {
  const firstHour = Math.floor(hour / hoursPerDay) * hoursPerDay
  return { date: formatDate(firstHour), firstHour, endHour: firstHour + hoursPerDay }
}

/** Days in whose middle one of these ascending hours lies, by their first hour: an hour at midnight divides no day. */
export function daysDividedBy (hours: readonly number[]): number[] { return [...new Set(hours.filter((hour) => hourOfDay(hour) !== 0).map((hour) => dayOf(hour).firstHour))] }

/** 0 to 23: where `hour` stands in its day. */
export function hourOfDay (hour: number): number { return hour - Math.floor(hour / hoursPerDay) * hoursPerDay }

/** Whole days from the day of `fromHour` to the day of `toHour`: 0 within one day, negative when it lies before. */
export function daysBetween (fromHour: number, toHour: number): number {
  return Math.floor(toHour / hoursPerDay) - Math.floor(fromHour / hoursPerDay)
}

/** The hour after the last one of the day that starts at `firstHour`. */
export function dayEndHour (firstHour: number): number { return dayOf(firstHour).endHour }

const millisTexts: readonly string[] = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`)
let lastSecond = -1
let lastSecondText = ''

/**
 * `yyyy-MM-dd'T'HH:mm:ss.SSS'Z'`, UTC. Called twice an event: only the first call of a second makes a Date.
 * @throws RangeError for anything but whole milliseconds from 1970 to 9999
 */
export function formatTimeMs (timeMs: number): string {
  if (!Number.isInteger(timeMs) || timeMs < 0 || timeMs > timeMsMax) throw new RangeError(`not a time: ${timeMs}`)
  const second = Math.floor(timeMs / 1000)
  if (second !== lastSecond) {
    lastSecondText = new Date(second * 1000).toISOString().slice(0, 20)
    lastSecond = second
  }
  return lastSecondText + (millisTexts[timeMs - second * 1000] as string)
}

const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** Reads exactly what `formatTimeMs` writes; undefined for anything else, such as the 30th of February or hour 24. */
export function parseTimeMs (text: string): number | undefined {
  if (!timePattern.test(text)) return undefined
  const timeMs = Date.parse(text)
  if (Number.isNaN(timeMs) || timeMs < 0) return undefined
  return formatTimeMs(timeMs) === text ? timeMs : undefined
}

const instantPattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(\.\d{1,3})?(Z|[+-]\d\d:\d\d)$/

/** An instant as people write it in a file: ISO 8601 with seconds or without and a zone that must be named (`Z` or `+09:00`). */
export function parseInstantMs (text: string): number | undefined {
  const parts = instantPattern.exec(text)
  if (parts === null) return undefined
  const [, minutes = '', seconds = ':00', fraction = '.0', zone = ''] = parts
  const localMs = parseTimeMs(`${minutes}${seconds}${fraction.padEnd(4, '0')}Z`)
  if (localMs === undefined) return undefined
  if (zone === 'Z') return localMs
  const zoneHours = Number(zone.slice(1, 3))
  const zoneMinutes = Number(zone.slice(4))
  if (zoneHours > 18 || zoneMinutes > 59) return undefined
  const timeMs = localMs - (zone.startsWith('-') ? -1 : 1) * (zoneHours * 60 + zoneMinutes) * 60_000
  return timeMs >= 0 && timeMs <= timeMsMax ? timeMs : undefined
}

/** `yyyy-MM-dd` of the UTC day that holds `hour`. */
export function formatDate (hour: number): string { return formatTimeMs(hourStartMs(hour)).slice(0, 10) }

/** The first hour of the UTC day `yyyy-MM-dd`; undefined for anything but a real date from 1970 to 9999. */
export function parseDate (text: string): number | undefined {
  const timeMs = parseTimeMs(`${text}T00:00:00.000Z`)
  return timeMs === undefined ? undefined : hourOf(timeMs)
}
