import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson, characters, compareUtf8, utf8Length } from './encoding.ts'
import { limits } from './limits.ts'

const anyText = fc.string({ unit: 'binary' })

describe('the canonical form', () => {
  test('is that of RFC 8785: sorted keys, shortest numbers, least escapes', () => {
    const value = {
      numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001, -0],
      string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    }
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27,0],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    )
    const keys = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 }
    expect(Object.values(JSON.parse(canonicalJson(keys)))).toEqual([4, 2, 6, 7, 1, 5, 3])
  })

  test('comes back by value, and has no other form', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const text = canonicalJson(value)
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
        expect(canonicalJson(JSON.parse(text))).toBe(text)
      }),
    )
  })

  test('does not depend on the order in which an object was made', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, fc.integer()), (object) => {
        const reversed = Object.fromEntries(Object.entries(object).reverse())
        expect(canonicalJson(reversed)).toBe(canonicalJson(object))
      }),
    )
  })

  test('keeps a key that means something to JavaScript as the data that it is', () => {
    const value = JSON.parse('{"__proto__":{"a":1},"constructor":2}')
    expect(canonicalJson(value)).toBe('{"__proto__":{"a":1},"constructor":2}')
  })

  test('ends at its depth, with the place', () => {
    const nested = (depth: number): unknown => (depth === 0 ? [] : [nested(depth - 1)])
    expect(() => canonicalJson(nested(limits.jsonDepth - 1))).not.toThrow()
    expect(() => canonicalJson(nested(limits.jsonDepth), 'data')).toThrow(/^data\[0\].*jsonDepth = 64/)
  })
})

test('texts are ordered as their UTF-8 bytes are', () => {
  fc.assert(
    fc.property(anyText, anyText, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
    }),
  )
  expect(compareUtf8('\u{1f3ab}', '\uffee')).toBeGreaterThan(0)
})

test('bytes and characters are counted without making them', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(utf8Length(text)).toBe(Buffer.byteLength(text))
      expect(characters(text)).toBe([...text].length)
    }),
  )
})
