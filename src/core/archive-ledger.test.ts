/** Where there is a ledger, nothing is emptied that its signed digest does not confirm. */
import { expect, test } from 'vitest'
import { range } from '../conformance/kit.ts'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { newLedgerKeys, signerOf } from './note.ts'
import type { ObjectStore, StoredObject } from './object-store.ts'
import { openStore } from './store.ts'

const signer = signerOf(newLedgerKeys('test.example/log').signerKey)

function memoryObjects(): ObjectStore {
  const objects = new Map<string, StoredObject>()
  return {
    name: 'memory',
    async put(key, bytes) {
      objects.set(key, { bytes, etag: String(bytes.length) })
      return { outcome: 'written', etag: String(bytes.length) }
    },
    get: async (key) => objects.get(key),
    list: async ({ prefix }) => ({
      objects: [...objects]
        .filter(([key]) => key.startsWith(prefix))
        .sort()
        .map(([key, { bytes }]) => ({ key, bytes: bytes.length })),
      more: false,
    }),
    async delete(key) {
      objects.delete(key)
    },
    async close() {},
  }
}

const opened = async (log = memoryLog()) => {
  const archive = { objects: memoryObjects(), retention: { guest: { keepDays: 0 } } }
  return openStore(memoryStorage({ log }), { ledger: { signer }, archive })
}

test('what no digest covers stays, and goes once it is sealed', async () => {
  await using store = await opened()
  for (const data of range(1, 300)) await store.append('guest/1', [{ type: 'Visited', data }])
  await store.ledger.seal()
  for (const data of range(301, 310)) await store.append('guest/1', [{ type: 'Visited', data }])
  expect((await store.archive.plan())[0]?.events).toBe(300)
  expect((await store.archive.run())[0]?.events).toBe(300)
  expect((await store.archive.run())[0]?.events).toBe(0)
  await store.ledger.seal()
  expect((await store.archive.run())[0]?.events).toBe(10)
  expect((await store.ledger.verify()).fault).toBeUndefined()
})

test('an event that was changed after it was sealed is not moved, and the segment names it', async () => {
  const log = memoryLog()
  await using store = await opened(log)
  for (const data of range(1, 5)) await store.append('guest/1', [{ type: 'Visited', data }])
  await store.ledger.seal()
  // As whoever has the storage in his hands can: the event, and all that is kept to prove it.
  const [, other] = log.rows
  const row = log.rows[3]
  if (row?.event && other?.event) {
    Object.assign(row, {
      event: { ...row.event, content: other.event.content, salt: other.event.salt, commitment: other.event.commitment },
    })
  }
  const told = { code: 'object-damaged', reason: expect.stringContaining('revision 4 of "guest/1"') }
  await expect(store.archive.run()).rejects.toMatchObject(told)
  expect(log.rows.map(({ state }) => state)).toEqual(Array(5).fill('stored'))
})
