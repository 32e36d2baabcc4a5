import { describe, expect, test } from 'vitest'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import type { JsonSchema } from './json-schema.ts'
import { masterKeyOf } from './master-key.ts'
import { personalInSchema } from './personal-schema.ts'
import { openStore } from './store.ts'

const fieldsOf = (schema: JsonSchema) =>
  personalInSchema(schema).map(({ fields }) => fields.map((field) => `/${field.join('/')}`))

describe('personal data that a schema marks', () => {
  const schema = {
    type: 'object',
    properties: {
      customer: { type: 'object', properties: { id: {}, name: { 'x-personal': 'customer/{/customer/id}' } } },
      guests: { type: 'array', items: { $ref: '#/$defs/guest' } },
      note: {
        anyOf: [{ type: 'string', 'x-personal': { subject: 'customer/{/customer/id}', mask: '…' } }, { type: 'null' }],
      },
    },
    $defs: {
      guest: { type: 'object', properties: { name: { type: 'string', 'x-personal': 'customer/{/customer/id}' } } },
    },
  }

  test('is found in objects, lists, and what is referred to', () => {
    expect(fieldsOf(schema)).toEqual([['/customer/name', '/guests/*/name'], ['/note']])
    expect(fieldsOf({ 'x-personal': true })).toEqual([['/']])
    expect(fieldsOf({ properties: { a: { 'x-personal': false }, 'b/c': { 'x-personal': true } } })).toEqual([['/b/c']])
    const loop = { $defs: { node: { properties: { name: { 'x-personal': true }, next: { $ref: '#/$defs/node' } } } } }
    expect(() => personalInSchema({ ...loop, $ref: '#/$defs/node' })).toThrow(/refers to itself/)
    expect(() => personalInSchema({ 'x-personal': 7 })).toThrow(/x-personal/)
    expect(() => personalInSchema({ properties: { a: { 'x-personal': 'customer/{nobody}' } } })).toThrow(/subject/)
  })

  test('is refused at the declaration where it says nothing, and holds from then on for every process', async () => {
    const log = memoryLog()
    const masterKey = masterKeyOf([new Uint8Array(32).fill(3)])
    const open = () => openStore(memoryStorage({ log }), { encryption: { masterKey } })
    await using store = await open()
    await using other = await open()
    const wrong = { type: 'Booked', version: 1, schema: { properties: { a: { 'x-personal': 7 } } } }
    await expect(store.eventTypes.declare(wrong)).rejects.toMatchObject({ code: 'invalid-argument' })
    await store.eventTypes.declare({ type: 'Booked', version: 1, schema })
    const data = { customer: { id: 'c1', name: 'Änn' }, guests: [{ name: 'Bö' }, { name: 'Çy' }], note: 'läte' }
    await store.append('booking/1', [{ type: 'Booked', data }])
    const { records } = await memoryStorage({ log }).readLog({ after: 0, direction: 'forwards', limit: 9 })
    expect(JSON.stringify(records)).not.toMatch(/Ä|ö|Ç|ä/)
    expect((await other.readPage('booking/1')).events[0]?.data).toEqual(data)
    await other.forget({ subject: 'customer/c1', reasonCode: 'left' })
    const masked = { customer: { id: 'c1', name: null }, guests: [{ name: null }, { name: null }], note: '…' }
    expect((await other.readPage('booking/1')).events[0]?.data).toEqual(masked)
  })
})
