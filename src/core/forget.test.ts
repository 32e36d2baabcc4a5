import { describe, expect, test } from 'vitest'
import { missingDynamo } from '../../test/engines/dynamodb.ts'
import { missingPostgres } from '../../test/engines/postgres.ts'
import { dynamodb, memory, postgres, sqlite } from '../../test/engines/storages.ts'
import { event, logAll } from '../conformance/kit.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { putDocument } from './document.ts'
import { limits } from './limits.ts'
import type { Storage } from './storage.ts'
import { openStore } from './store.ts'

const storages = [
  { name: 'memory', storage: memory },
  { name: 'SQLite', storage: sqlite },
  { name: 'PostgreSQL', storage: postgres, missing: missingPostgres() },
  { name: 'DynamoDB', storage: dynamodb, missing: missingDynamo() },
]

const views = { collection: 'views', indexes: [] }
const events = limits.eraseRecords + 10

/** person/1 with many events and a document, person/2 with one. */
async function fill(storage: Storage): Promise<void> {
  const store = await openStore({ ...storage, close: async () => {} })
  for (let left = events; left > 0; left -= 1_000) {
    const secrets = Array.from({ length: Math.min(left, 1_000) }, () => ({ type: 'Told', data: 'secret' }))
    await store.append('person/1', secrets)
  }
  await store.append('person/2', [{ type: 'Told', data: 'kept' }])
  await storage.declare([views])
  const documents = putDocument(views, {
    key: '1',
    body: { text: 'secret' },
    streams: ['person/1'],
    if: { is: 'absent' },
  })
  await storage.commit([{ id: 'd', appends: [], documents }])
}

/** The storage until its `calls`th step, where the process is as good as dead. */
function dyingAt(storage: Storage, calls: number): Storage {
  let left = calls
  const step = () => {
    if (left-- <= 0) throw new Error('died')
  }
  return {
    ...storage,
    async commit(commits) {
      step()
      return storage.commit(commits)
    },
    async erase(erasing) {
      step()
      return storage.erase(erasing)
    },
  }
}

for (const { name, storage, missing } of storages) {
  describe.skipIf(missing !== undefined)(`forgetting on ${name}${missing ? ` (${missing})` : ''}`, () => {
    const openStorage = storage()
    const create = () => {
      const name = `case-${crypto.randomUUID()}`
      return () => openStorage({ name })
    }

    test('a crash before any step is made good by the next opening, and nothing else is touched', async () => {
      // The steps: the first commit, documents and the job with them, two of events and the job between, scrub, the job's end.
      for (let calls = 1; calls <= 8; calls++) {
        const open = create()
        const storage = await open()
        await fill(storage)
        const store = await openStore(dyingAt(storage, calls))
        const forgetting = store.forget('person/1', { reasonCode: 'asked' })
        if (calls < 8) await expect(forgetting).rejects.toThrow()
        else await forgetting
        await storage.close()

        const again = await openStore(await open())
        await again.close()
        const after = await open()
        const states = (await logAll(after)).map(({ state }) => state)
        expect(states).toEqual([...Array(events).fill('forgotten'), 'stored', 'tombstone'])
        expect(await after.getDocuments([{ collection: 'views', key: '1' }])).toEqual([undefined])
        const [job] = await after.getDocuments([{ collection: '$queue', key: '$forget/person/1' }])
        expect(JSON.parse(job?.body ?? '')).toMatchObject({ state: 'done', key: 'person/1' })
        await after.close()
      }
    })

    test('asking again after a crash finishes it as well, and tells the whole', async () => {
      const open = create()
      const storage = await open()
      await fill(storage)
      const store = await openStore(dyingAt(storage, 3))
      await expect(store.forget('person/1', { reasonCode: 'asked' })).rejects.toThrow()
      const again = await openStore(storage)
      const report = await again.forget('person/1', { reasonCode: 'asked' })
      expect(report).toMatchObject({ revision: events + 1, events, documents: 1, scrub: 'done' })
      expect(await again.forget('person/1', { reasonCode: 'asked' })).toEqual(report)
      await again.close()
    })

    test('opening for reading only leaves it as it is', async () => {
      const open = create()
      const storage = await open()
      await fill(storage)
      const store = await openStore(dyingAt(storage, 1))
      await expect(store.forget('person/1', { reasonCode: 'asked' })).rejects.toThrow()
      await openStore(storage, { readOnly: true })
      const [job] = await storage.getDocuments([{ collection: '$queue', key: '$forget/person/1' }])
      expect(JSON.parse(job?.body ?? '')).toMatchObject({ state: 'running', tries: 1 })
      await storage.close()
    })
  })
}

test('events of another stream may come between those that are forgotten', async () => {
  const store = await openStore(memoryStorage())
  for (let turn = 0; turn < 10; turn++) {
    await store.append(`person/${turn % 2}`, [{ type: event('x').type, data: turn }])
  }
  await store.forget('person/0', { reasonCode: 'asked' })
  const left: unknown[] = []
  for await (const { data } of store.read('person/1')) left.push(data)
  expect(left).toEqual([1, 3, 5, 7, 9])
})
