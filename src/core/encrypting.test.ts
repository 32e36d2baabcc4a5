import { beforeEach, describe, expect, test } from 'vitest'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import type { MasterKey } from './master-key.ts'
import { masterKeyOf } from './master-key.ts'
import { openStore } from './store.ts'
import type { StoreOptions } from './store-options.ts'
import type { Subjects } from './subject.ts'

const key = new Uint8Array(32).fill(7)
const masterKey = masterKeyOf([key])
const subjects: Subjects = {
  streams: { customer: {} },
  events: {
    OrderPlaced: { subject: 'customer/{/customer/id}', fields: ['/customer/name', '/items/*/engraving'] },
    PaymentSent: [
      { subject: 'customer/{/from/id}', fields: ['/from/iban'] },
      { subject: 'customer/{/to/id}', fields: ['/to/iban'], mask: '***' },
    ],
  },
}
let log: ReturnType<typeof memoryLog>
beforeEach(() => {
  log = memoryLog()
})

const bare = () => memoryStorage({ log })
const open = (options: StoreOptions = { subjects, encryption: { masterKey } }) => openStore(bare(), options)

const placed = {
  type: 'OrderPlaced',
  data: {
    customer: { id: 42, name: 'Ann "the\nQuick" Öz' },
    items: [{ engraving: 'for Bo', n: 1 }, { n: 2 }],
    total: 19.99,
  },
  tags: ['order'],
}

async function storedTexts(): Promise<string> {
  const { records } = await bare().readLog({ after: 0, direction: 'forwards', limit: 1_000 })
  return records.map((record) => ('content' in record ? record.content : '')).join('\n')
}

describe('encrypting', () => {
  test('what is declared is stored encrypted, and read as it was recorded', async () => {
    await using store = await open()
    await store.append('customer/42', [{ type: 'Moved', data: { city: 'Bonn' }, meta: { correlationId: 'c' } }])
    await store.append('order/1', [placed, { type: 'Noted', data: ['plain'] }])
    const text = await storedTexts()
    for (const secret of ['Bonn', 'Quick', 'for Bo']) expect(text).not.toContain(secret)
    for (const plain of ['19.99', 'plain', '"correlationId":"c"']) expect(text).toContain(plain)
    expect((await store.readPage('customer/42')).events[0]?.data).toEqual({ city: 'Bonn' })
    expect((await store.readPage('order/1')).events.map(({ data }) => data)).toEqual([placed.data, ['plain']])
    const { entries } = await store.readLogPage()
    expect(entries.map((entry) => !entry.forgotten && entry.data)).toEqual([{ city: 'Bonn' }, placed.data, ['plain']])
    expect((await store.ledger.verify()).fault).toBeUndefined()
  })

  test('the same append again is a repeat, other content is an error, in several streams too', async () => {
    await using store = await open()
    const moved = { id: 'a', type: 'Moved', data: { city: 'Bonn' } }
    const appends = [
      { stream: 'customer/42', events: [moved] },
      {
        stream: 'order/1',
        events: [
          { ...placed, id: 'b' },
          { id: 'c', type: 'Noted', data: 1 },
        ],
      },
    ]
    const first = await store.appendMany(appends)
    expect(await store.appendMany(appends)).toEqual(first.map((one) => ({ ...one, repeated: true })))
    const other = [{ id: 'a', type: 'Moved', data: { city: 'Köln' } }]
    await expect(store.append('customer/42', other)).rejects.toMatchObject({ code: 'event-id-reused', id: 'a' })
    await expect(store.append('customer/42', [moved], { expected: 5 })).rejects.toMatchObject({
      code: 'event-id-reused',
    })
    const partial = [...appends, { stream: 'order/2', events: [{ type: 'Noted' }] }]
    await expect(store.appendMany(partial)).rejects.toMatchObject({ code: 'event-id-reused' })
    expect((await store.info()).head).toBe(3)
  })

  test('many new subjects and writers at the same time', async () => {
    await using one = await open()
    await using two = await open()
    const all = Array.from({ length: 60 }, (_, index) =>
      (index % 2 ? one : two).append(`order/${index % 7}`, [
        { ...placed, data: { ...placed.data, customer: { id: index % 5, name: `N${index}` } } },
      ]),
    )
    await Promise.all(all)
    const { entries } = await one.readLogPage({ limit: 1_000 })
    const names = entries.map((entry) => !entry.forgotten && (entry.data as typeof placed.data).customer.name)
    expect(names.toSorted()).toEqual(all.map((_, index) => `N${index}`).toSorted())
  })

  test('two subjects of one event have a key each', async () => {
    await using store = await open()
    const data = { from: { id: 1, iban: 'DE11' }, to: { id: 2, iban: 'DE22' } }
    await store.append('payment/1', [{ type: 'PaymentSent', data }])
    expect(await storedTexts()).not.toMatch(/DE11|DE22/)
    expect((await store.readPage('payment/1')).events[0]?.data).toEqual(data)
  })

  test('personal data without a subject is refused, and nothing is written', async () => {
    await using store = await open()
    const lost = [{ ...placed, data: { ...placed.data, customer: { name: 'Ann' } } }]
    await expect(store.append('order/1', lost)).rejects.toMatchObject({ code: 'invalid-argument' })
    expect((await store.info()).head).toBe(0)
    await store.append('order/1', [{ type: 'OrderPlaced', data: { total: 1 } }])
  })

  test.each([
    ['keys', 'a secret'],
    ['keys', []],
    ['keys[0]', ['a secret of thirty-two characters']],
    ['keys[1]', [new Uint8Array(32), new Uint8Array(31)]],
  ])('no master key is made of what holds none: %s', (path, keys) => {
    expect(() => masterKeyOf(keys as readonly Uint8Array[])).toThrow(`${path}: must`)
  })

  test('a wrong master key is refused at opening, a missing one when something encrypted is read or written', async () => {
    {
      await using store = await open()
      await store.append('customer/42', [{ id: 'a', type: 'Moved', data: { city: 'Bonn' } }])
    }
    const wrong: MasterKey = masterKeyOf([new Uint8Array(32).fill(8)])
    await expect(open({ encryption: { masterKey: wrong } })).rejects.toMatchObject({
      ...{ code: 'master-key-wrong', keyId: masterKey.id, given: wrong.id },
    })
    await expect(open({ encryption: { masterKey: wrong }, readOnly: true })).rejects.toMatchObject({
      code: 'master-key-wrong',
    })
    const forged: MasterKey = { ...wrong, id: masterKey.id, unwrap: (bytes) => wrong.unwrap(bytes, wrong.id) }
    await expect(open({ encryption: { masterKey: forged } })).rejects.toMatchObject({ code: 'master-key-wrong' })
    await using without = await open({})
    await expect(without.readPage('customer/42')).rejects.toMatchObject({
      code: 'master-key-missing',
      keyId: masterKey.id,
    })
    await expect(without.append('customer/43', [{ type: 'Moved', data: 1 }])).rejects.toMatchObject({
      code: 'master-key-missing',
    })
    expect(await without.ledger.verify()).toMatchObject({ verified: 1, encrypted: 1 })
  })

  test('each bit of what is stored that is changed is found, by those who read and by those who verify', async () => {
    await using store = await open()
    await store.append('order/1', [placed])
    const { records } = await bare().readStream('order/1', { after: 0, direction: 'forwards', limit: 1 })
    const { content = '' } = records[0] as { readonly content?: string }
    for (let at = 0; at < content.length; at++) {
      const changed = `${content.slice(0, at)}${String.fromCharCode(content.charCodeAt(at) ^ 1)}${content.slice(at + 1)}`
      const storage = memoryStorage({ log })
      const flip = <Page extends { readonly records: readonly object[] }>(page: Page): Page => ({
        ...page,
        records: page.records.map((record) => ({ ...record, content: changed })),
      })
      const tampered = {
        ...storage,
        readStream: async (...asked: Parameters<typeof storage.readStream>) => flip(await storage.readStream(...asked)),
        readLog: async (...asked: Parameters<typeof storage.readLog>) => flip(await storage.readLog(...asked)),
      }
      await using other = await openStore(tampered, { subjects, encryption: { masterKey } })
      expect((await other.ledger.verify()).fault, `${at}: ${changed}`).toMatchObject({ position: 1 })
    }
    const damaged = content.replace(/"([A-Za-z0-9+/=]{60,})"/, (_, text) => `"${text.slice(4)}AAAA"`)
    const storage = memoryStorage({ log })
    await using other = await openStore(
      {
        ...storage,
        async readStream(...asked) {
          const page = await storage.readStream(...asked)
          return {
            ...page,
            records: page.records.map((record) => ({ ...record, content: damaged })) as typeof page.records,
          }
        },
      },
      { encryption: { masterKey } },
    )
    const reading = other.readPage('order/1')
    await expect(reading).rejects.toMatchObject({ code: 'encrypted-data-damaged', stream: 'order/1', revision: 1 })
  })
})
