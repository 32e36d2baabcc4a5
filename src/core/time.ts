/**
 * Instants: epoch milliseconds inside, `YYYY-MM-DDTHH:mm:ss.sssZ` outside. RFC 3339 text is read with any offset and
 * up to nanoseconds; what is finer than a millisecond is rounded the way the caller asks, so that no event is lost
 * at a boundary.
 */
import { InvalidArgument } from './errors.ts'

/** The store's source of record time: epoch milliseconds. */
export type Clock = () => number

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)$/i
const latestMs = 253_402_300_799_999 // 9999-12-31T23:59:59.999Z: past it the text would need a wider year

/** `round` is 'down' for an upper bound (records at or before the instant), 'up' for a lower one. */
export function parseInstant(value: string | Date, path: string, round: 'down' | 'up' = 'down'): number {
  if (value instanceof Date) return checkedMs(value.getTime(), path)
  const parts = rfc3339.exec(value)
  if (parts === null) throw new InvalidArgument(path, hint)
  const [, year, month, day, hour, minute, second = '00', fraction = ''] = parts
  const offset = parts[8] ?? 'Z'
  const whole = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(whole) || new Date(whole).getUTCDate() !== Number(day) || hour === '24') {
    throw new InvalidArgument(path, hint)
  }
  const finer = /[1-9]/.test(fraction.slice(3)) && round === 'up' ? 1 : 0
  const ms = whole + Number(fraction.slice(0, 3).padEnd(3, '0')) + finer - offsetMs(offset, path)
  return checkedMs(ms, path)
}

const hint = 'must be an instant such as 2026-01-31T09:30:00.000Z (RFC 3339, with an offset)'

export function formatInstant(ms: number): string {
  return new Date(ms).toISOString()
}

/** Formats like `formatInstant`; neighbours are often of the same instant, and then it is not done twice. */
export function instantFormatter(): (ms: number) => string {
  let last = Number.NaN
  let text = ''
  return (ms) => {
    if (ms !== last) text = formatInstant(ms)
    last = ms
    return text
  }
}

function offsetMs(offset: string, path: string): number {
  if (offset === 'Z' || offset === 'z') return 0
  const hours = Number(offset.slice(1, 3))
  const minutes = Number(offset.slice(4, 6))
  if (hours > 23 || minutes > 59) throw new InvalidArgument(path, hint)
  return (offset.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
}

function checkedMs(ms: number, path: string): number {
  if (!Number.isInteger(ms) || Math.abs(ms) > latestMs) throw new InvalidArgument(path, hint)
  return ms
}
