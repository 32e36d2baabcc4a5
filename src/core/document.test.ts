import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  checkCollection,
  deleteDocument,
  type IndexValue,
  indexEntries,
  indexQuery,
  putDocument,
  wordsOf,
  wordsQuery,
} from './document.ts'
import { compareUtf8 } from './encoding.ts'
import type { CollectionSpec } from './storage.ts'

const spec: CollectionSpec = {
  collection: 'people',
  indexes: [
    { name: 'city', equals: ['address.city', 'active'], order: 'rank' },
    { name: 'email', equals: ['email'], unique: true },
  ],
  search: ['name', 'notes'],
}

test('index texts sort by UTF-8 bytes as their values do: booleans, then numbers, then texts', () => {
  const value = fc.oneof(
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary' }),
  )
  const orderOf = (rank: IndexValue) =>
    indexEntries(spec, { address: { city: 'x' }, active: true, rank }, 'd')[0]?.order ?? ''
  const kind = (value: IndexValue) => ['boolean', 'number', 'string'].indexOf(typeof value)
  const compare = (a: IndexValue, b: IndexValue) => {
    if (kind(a) !== kind(b)) return kind(a) - kind(b)
    return typeof a === 'string' ? compareUtf8(a, String(b)) : Number(a) - Number(b)
  }
  fc.assert(
    fc.property(value, value, (a, b) => {
      expect(Math.sign(compareUtf8(orderOf(a), orderOf(b)))).toBe(Math.sign(compare(a, b)))
    }),
  )
})

test('a document is in an index where it has all its values, and nowhere else', () => {
  const entry = { index: 'city', equals: '["Paris",true]', order: 'sb' }
  expect(indexEntries(spec, { address: { city: 'Paris' }, active: true, rank: 'b' }, 'd')).toEqual([entry])
  expect(indexEntries(spec, { address: { city: 'Paris' }, active: true }, 'd')).toEqual([{ ...entry, order: '' }])
  for (const body of [
    {},
    { address: 'Paris', active: true },
    { address: { city: null }, active: true },
    { active: true },
  ]) {
    expect(indexEntries(spec, body, 'd')).toEqual([])
  }
})

test('a unique value is taken, kept, changed and given back as a document of its own', () => {
  const guard = { is: 'anything' } as const
  const told = (writes: readonly { kind: string; key: { key: string }; if: { is: string } }[]) =>
    writes.slice(1).map((write) => `${write.kind} ${write.key.key} ${write.if.is}`)
  const a = { email: 'a' }
  const b = { email: 'b' }
  expect(told(putDocument(spec, { key: '1', body: a, if: guard }))).toEqual(['put ["a"] absent'])
  expect(told(putDocument(spec, { key: '1', body: a, previous: a, if: guard }))).toEqual([])
  expect(told(putDocument(spec, { key: '1', body: b, previous: a, if: guard }))).toEqual([
    'put ["b"] absent',
    'delete ["a"] anything',
  ])
  expect(told(putDocument(spec, { key: '1', body: {}, previous: a, if: guard }))).toEqual(['delete ["a"] anything'])
  expect(told(deleteDocument(spec, { key: '1', previous: b, if: guard }))).toEqual(['delete ["b"] anything'])
})

test('words are lower-cased runs of letters and digits, without accents, each once, the last one last', () => {
  expect(wordsOf('Zoë  Müller-Lüdenscheidt, 42! ZOE')).toEqual(['muller', 'ludenscheidt', '42', 'zoe'])
  expect(wordsOf('हिन्दी 東京 ﬁn')).toEqual(['हिन्दी', '東京', 'fin'])
  expect(wordsOf(' \n\t"*-')).toEqual([])
})

test('a query that no index serves is refused, and told what there is', () => {
  expect(() => indexQuery(spec, { index: 'age', equals: [] })).toThrow(
    'collection "people": has no index "age" (declared: city, email)',
  )
  expect(() => indexQuery(spec, { index: 'city', equals: ['Paris'] })).toThrow('needs values for address.city, active')
  expect(() => wordsQuery({ ...spec, search: undefined } as unknown as CollectionSpec, { text: 'x' })).toThrow(
    'declares no search',
  )
  expect(() => wordsQuery(spec, { text: '***' })).toThrow('text: holds no word')
})

test('documents and collections beyond their limits are refused by name', () => {
  const put = (key: string, body: object) => putDocument(spec, { key, body, if: { is: 'anything' } })
  expect(() => put('x'.repeat(901), {})).toThrow('documentKeyBytes = 900')
  expect(() => put('x', { fill: 'x'.repeat(262_144) })).toThrow('documentBytes = 262144')
  const streams = Array.from({ length: 21 }, (_, id) => `seat/${id}`)
  expect(() => putDocument(spec, { key: 'x', body: {}, streams, if: { is: 'anything' } })).toThrow(
    'documentStreams = 20',
  )
  expect(() => put('x', { email: 'x'.repeat(900) })).toThrow('indexValueBytes = 900')
  expect(() => put('', {})).toThrow('must have a key')
  expect(() => put('x', { at: new Date() })).toThrow('is a Date')
  expect(() => checkCollection(spec)).not.toThrow()
  const twice = {
    collection: 'c',
    indexes: [
      { name: 'a', equals: [] },
      { name: 'a', equals: [] },
    ],
  }
  expect(() => checkCollection(twice)).toThrow('index "a": stands twice')
  expect(() => checkCollection({ collection: 'c', indexes: [{ name: 'a', equals: [], unique: true }] })).toThrow(
    'names no field',
  )
})
