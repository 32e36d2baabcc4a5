/** What the catalogue does where the storage fails, and what it costs where nothing is declared. */
import { expect, test } from 'vitest'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { limits } from './limits.ts'
import type { Storage } from './storage.ts'
import { openStore } from './store.ts'

/** A storage that counts what it is asked for, and gives no documents while `broken`. */
function watched(log = memoryLog()) {
  const bare = memoryStorage({ log, clock: Date.now })
  const seen = { broken: false, gets: 0, guards: 0 }
  const storage: Storage = {
    ...bare,
    async getDocuments(keys) {
      seen.gets++
      if (seen.broken) throw new Error('broken')
      return bare.getDocuments(keys)
    },
    async commit(commits) {
      seen.guards += commits.flatMap(({ documents = [] }) => documents.filter(({ kind }) => kind === 'check')).length
      return bare.commit(commits)
    },
  }
  return { log, storage, seen }
}

const old = () => new Promise((resolve) => setTimeout(resolve, limits.eventTypesMs + 50))
const schema = { type: 'object' }

test('an append looks once in a while at what is declared, and neither at validators nor at guards', async () => {
  const { storage, seen } = watched()
  await using store = await openStore(storage)
  seen.gets = 0
  for (let turn = 0; turn < 100; turn++) await store.append('seat/1', [{ type: 'A' }])
  expect(seen).toEqual({ broken: false, gets: 1, guards: 0 })
})

test('where the declarations cannot be read an append is committed under the guard that they are as they were', async () => {
  const log = memoryLog()
  const { storage, seen } = watched(log)
  await using store = await openStore(storage)
  await using other = await openStore(memoryStorage({ log, clock: Date.now }))
  await store.eventTypes.declare({ type: 'A', version: 1, schema })
  await old()
  seen.broken = true
  await store.append('seat/1', [{ type: 'A', data: {} }])
  expect(seen.guards).toBe(1)
  await expect(store.append('seat/1', [{ type: 'A', data: 7 }])).rejects.toMatchObject({ code: 'schema-violation' })
  await other.eventTypes.declare({ type: 'B', version: 1, schema })
  await expect(store.append('seat/1', [{ type: 'B', data: 7 }])).rejects.toMatchObject({ code: 'store-busy' })
  seen.broken = false
  await expect(store.append('seat/1', [{ type: 'B', data: 7 }])).rejects.toMatchObject({ code: 'schema-violation' })
  expect((await store.details('seat/1'))?.revision).toBe(1)
})
