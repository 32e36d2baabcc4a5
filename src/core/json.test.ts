import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJson } from './json.ts'
import { limits } from './limits.ts'

describe('JSON from outside', () => {
  test('is taken as it is where it can be recorded exactly', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (text) => {
        expect(parseJson(text)).toEqual(JSON.parse(text))
      }),
    )
  })

  test('every double that was printed is taken', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
        expect(parseJson(JSON.stringify(number))).toBe(number === 0 ? 0 : number)
      }),
    )
  })

  test.each([
    '0',
    '-0',
    '-0.0',
    '19.99',
    '1.50',
    '1e2',
    '1E+2',
    '100e-2',
    '0e99999',
    '0.1',
    '9007199254740992',
    '5e-324',
  ])('the number %s comes back, and is taken', (text) => {
    expect(parseJson(text)).toBe(JSON.parse(text))
  })

  test.each([
    '9007199254740993',
    '1e400',
    '-1e400',
    '1e-400',
    '0.1000000000000000055511151231257827',
    '123456789012345678901',
    '1e99999999999',
  ])('the number %s would not come back, and is refused with its place', (text) => {
    expect(() => parseJson(`{"a":[1,{"b c":${text}}]}`, 'data')).toThrow(`data.a[1]["b c"]: is ${text.slice(0, 40)}`)
  })

  test('a decimal is taken just where printing its double gives the same value', () => {
    const digits = fc.stringMatching(/^-?(0|[1-9]\d{0,24})(\.\d{1,24})?(e[+-]?\d{1,2})?$/)
    fc.assert(
      fc.property(digits, (text) => {
        const same = exact(text) === exact(String(Number(text)))
        const taken = (() => {
          try {
            parseJson(text)
            return true
          } catch {
            return false
          }
        })()
        expect(taken).toBe(same)
      }),
    )
  })

  test.each([
    ['{"a":1,"b":2,"a":3}', 'data.a'],
    ['[{"x":{"a":1,"\\u0061":1}}]', 'data[0].x.a'],
    ['{"":1,"":1}', 'data[""]'],
    ['{"a":{"b":1},"c":[{"b":1,"b":2}]}', 'data.c[0].b'],
  ])('a key that stands twice is refused with its place: %s', (text, path) => {
    expect(() => parseJson(text, 'data')).toThrow(`${path}: stands twice in its object`)
  })

  test('a key may come again in another object', () => {
    expect(parseJson('[{"a":1},{"a":{"a":[{"a":1}]}}]')).toEqual([{ a: 1 }, { a: { a: [{ a: 1 }] } }])
  })

  test('what looks like JSON within a text is only text', () => {
    const text = JSON.stringify({ a: '{"b":1,"b":2,"c":1e400}\\"', 'k"{': '[' })
    expect(parseJson(text)).toEqual(JSON.parse(text))
  })

  test('it may not be nested deeper than the limit', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    expect(() => parseJson(nested(limits.jsonDepth))).not.toThrow()
    expect(() => parseJson(nested(limits.jsonDepth + 1))).toThrow('jsonDepth = 64')
    expect(() => parseJson(nested(1_000_000))).toThrow('jsonDepth = 64')
  })

  test.each(['', 'nope', '{', '{"a":}', '[1,]', '01', '"\t"', '{"a":1}}', '\u0000'])(
    'what is no JSON is refused: %j',
    (text) => {
      expect(() => parseJson(text, 'data')).toThrow(/^data: is no JSON: /)
    },
  )

  test('input made to be slow is not', () => {
    const million = 1_000_000
    const hostile = [
      `[${'0'.repeat(0)}1${'0'.repeat(million)}1]`,
      `0.${'0'.repeat(million)}1`,
      `{${Array.from({ length: 100_000 }, (_, index) => `"${index}":0`).join(',')}}`,
      `"${'\\"'.repeat(million)}"`,
    ]
    for (const text of hostile) {
      try {
        parseJson(text)
      } catch (error) {
        expect((error as { code?: string }).code).toBe('invalid-argument')
      }
    }
  })
})

/** The decimal value as a fraction in lowest terms of powers of ten. */
function exact(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  let digits = BigInt(whole + fraction)
  let scale = Number(exponent) - fraction.length
  while (digits !== 0n && digits % 10n === 0n) {
    digits /= 10n
    scale++
  }
  return digits === 0n ? '0' : `${digits}e${scale}`
}
