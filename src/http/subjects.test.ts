import { expect, test } from 'vitest'
import { masterKeyOf } from '../core/master-key.ts'
import { openStore } from '../core/store.ts'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { createApp } from './app.ts'
import { createClient } from './client.ts'
import { asking } from './fixtures/asking.ts'

const subjects = {
  streams: { customer: {} },
  events: { Placed: { subject: 'customer/{/customer}', fields: ['/name'] } },
}
const encryption = { masterKey: masterKeyOf([new Uint8Array(32).fill(4)]) }
const placed = { type: 'Placed', data: { customer: 42, name: 'Ann' } }

async function opened(log = memoryLog(), options = {}) {
  const store = await openStore(memoryStorage({ log }), options)
  return { store, app: createApp({ store, version: '0.0.0' }), log }
}

test('a subject is forgotten over HTTP and by the client, and to ask again is a retry', async () => {
  const { app } = await opened(memoryLog(), { subjects, encryption })
  const { send } = await asking(app)
  const client = createClient({
    url: 'http://localhost',
    fetch: async (url, init) => app.fetch(new Request(url, init)),
  })
  await client.append('customer/42', [{ type: 'Moved', data: { city: 'Bonn' } }])
  await client.append('order/1', [placed])
  const { status, body } = await send('POST', '/subjects/customer/42/forget', { reasonCode: 'gdpr-art-17' })
  expect([status, body]).toMatchObject([
    200,
    { subject: 'customer/42', key: 'destroyed', streams: 1, events: 1, masked: 1 },
  ])
  expect(await client.forget({ subject: 'customer/42', reasonCode: 'gdpr-art-17' })).toEqual(body)
  expect((await client.readPage('order/1')).events[0]?.data).toEqual({ customer: 42, name: null })
  await expect(client.append('order/2', [placed])).rejects.toMatchObject({
    code: 'subject-forgotten',
    subject: 'customer/42',
  })
  expect((await send('POST', '/streams/order/2/events', { events: [placed] })).status).toBe(410)
  expect((await send('POST', '/subjects/customer/1/forget', { reasonCode: 'asked' })).status).toBe(404)
  expect((await send('POST', '/subjects/customer/1/forget', {})).status).toBe(400)
})

test('a server says what its master key cannot read, and which streams are in the way of forgetting', async () => {
  const { store, log } = await opened(memoryLog(), { subjects, encryption })
  await store.append('order/1', [placed])
  const { send } = await asking((await opened(log)).app)
  expect((await send('GET', '/streams/order/1')).body).toMatchObject({ status: 503, keyId: encryption.masterKey.id })
  expect((await send('GET', '/streams/order/1/details')).status).toBe(200)
  const plain = await opened(memoryLog(), { subjects })
  await plain.store.append('order/1', [placed])
  const refused = await (await asking(plain.app)).send('POST', '/subjects/customer/42/forget', { reasonCode: 'asked' })
  expect(refused.body).toMatchObject({ status: 409, streams: ['order/1'] })
})
