import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatInstant, instantFormatter, parseInstant } from './time.ts'

test('an instant that was printed is read back', () => {
  const ms = fc.integer({ min: 0, max: 253_402_300_799_999 })
  fc.assert(
    fc.property(ms, (ms) => {
      expect(parseInstant(formatInstant(ms), 'at')).toBe(ms)
    }),
  )
})

test('printed instants are of one width, so that they sort as text', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e12 }), fc.integer({ min: 0, max: 4e12 }), (a, b) => {
      expect(formatInstant(a) < formatInstant(b)).toBe(a < b)
    }),
  )
})

test.each([
  ['2026-01-31T09:30:00Z', '2026-01-31T09:30:00.000Z'],
  ['2026-01-31T09:30Z', '2026-01-31T09:30:00.000Z'],
  ['2026-01-31t09:30:00.5z', '2026-01-31T09:30:00.500Z'],
  ['2010-10-02T09:20:39.266+02:00', '2010-10-02T07:20:39.266Z'],
  ['2026-01-01T00:00:00-11:30', '2026-01-01T11:30:00.000Z'],
  ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
])('%s is %s', (text, expected) => {
  expect(formatInstant(parseInstant(text, 'at'))).toBe(expected)
})

test('what is finer than a millisecond is rounded as the bound needs it', () => {
  const text = '2026-01-31T09:30:00.123000001Z'
  expect(formatInstant(parseInstant(text, 'at', 'down'))).toBe('2026-01-31T09:30:00.123Z')
  expect(formatInstant(parseInstant(text, 'at', 'up'))).toBe('2026-01-31T09:30:00.124Z')
  expect(formatInstant(parseInstant('2026-01-31T09:30:00.123000000Z', 'at', 'up'))).toBe('2026-01-31T09:30:00.123Z')
})

test.each([
  '',
  'now',
  '2026-01-31',
  '2026-01-31T09:30:00',
  '2026-02-30T00:00:00Z',
  '2023-02-29T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-01-31T24:00:00Z',
  '2026-01-31T23:60:00Z',
  '2026-01-31T23:59:60Z',
  '2026-01-31T00:00:00+24:00',
  '2026-01-31T00:00:00.1234567890Z',
  '12026-01-31T00:00:00Z',
])('"%s" is no instant, and the error says what one looks like', (text) => {
  expect(() => parseInstant(text, 'until')).toThrow(/^until: must be an instant such as 2026-01-31T09:30:00\.000Z/)
})

test('a formatter that remembers prints the same', () => {
  const format = instantFormatter()
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5 }), (ms) => {
      expect(format(ms)).toBe(formatInstant(ms))
    }),
  )
})
