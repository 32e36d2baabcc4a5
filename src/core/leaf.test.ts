import { bytesToHex } from '@noble/hashes/utils.js'
import { expect, test } from 'vitest'
import { contentOf, parseContent } from './content.ts'
import { derivedId, newId, secureRandom } from './id.ts'
import { commitmentOf, entryOf, leafOf } from './leaf.ts'

// The expected values were made with Python's hashlib and uuid from the formulas of docs/concepts.md.
const event = { id: 'id-1', type: 'Reserved', tags: ['ann', 'seat:1'], data: { by: 'Ann' }, meta: null }
const salt = Uint8Array.from({ length: 32 }, (_, index) => index)

test('content, commitment, entry and leaf are what another program makes of the formulas', () => {
  const content = contentOf(event, 'event')
  expect(content).toBe('["id-1","Reserved",["ann","seat:1"],{"by":"Ann"},null]')
  const commitment = commitmentOf(salt, content)
  expect(bytesToHex(commitment)).toBe('338fe98c9f0022ffa5be44ca3ecdfe66947c25877bb088d6f1a1bd2f8411fc78')
  const entry = entryOf({ stream: 'seat/1', revision: 3, time: 1_700_000_000_123, commitment })
  expect(bytesToHex(entry)).toBe('c0095d8ca795b7e2349ca2b2a40d38baf2345a3cbe6b2d4a55ce552ebabbd48c')
  expect(bytesToHex(leafOf(entry))).toBe('f44a11471fa9088adeb5783ec56fa5a46d209321f74b580594933ea2de705073')
})

test('content is read back as it was written; data that is absent is null', () => {
  expect(parseContent(contentOf(event, 'event'))).toEqual(event)
  expect(parseContent(contentOf({ ...event, data: undefined }, 'event')).data).toBeNull()
})

test('a derived id is the UUIDv5 of the canonical form of its parts', () => {
  expect(derivedId(['tombstone', 'seat/1'])).toBe('c6f4824e-26e2-5d9f-b415-37dd94f806d6')
  expect(derivedId([{ b: 1, a: 2 }])).toBe(derivedId([{ a: 2, b: 1 }]))
})

test('a new id is a UUIDv7 that sorts by the time of its making', () => {
  const random = secureRandom()
  const ids = [0, 1, 65_535, 65_536, 1_700_000_000_123, 253_402_300_799_999].map((now) => newId(random, now))
  expect(ids.toSorted()).toEqual(ids)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(ids[4]?.slice(0, 13)).toBe((1_700_000_000_123).toString(16).padStart(12, '0').replace(/^.{8}/, '$&-'))
  expect(new Set(Array.from({ length: 10_000 }, () => newId(random, 0))).size).toBe(10_000)
})
