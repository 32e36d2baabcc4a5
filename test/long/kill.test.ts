/** Writers are killed at random moments: whatever they had acknowledged is there once, and the file is whole. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { logAll } from '../../src/conformance/kit.ts'
import { openStore } from '../../src/core/store.ts'
import { sqliteStorage } from '../../src/storage/sqlite/storage.ts'
import { newDatabase, quiet } from '../engines/postgres.ts'
import { missingPrograms, startServer } from '../engines/server.ts'
import { startForgetting } from '../processes/forgetter.ts'
import { killWriters } from '../processes/kills.ts'
import { chance, seed, times } from './share.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-kill-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test(`killed ${times(200)} times, writers lose nothing that they acknowledged (LONG_SEED=${seed})`, () =>
  killWriters({
    kills: times(200),
    random: chance(seed),
    next: async () => `sqlite:${join(folder, `${crypto.randomUUID()}.db`)}`,
    quiet: async () => {},
  }))

const missing = missingPrograms()
const onPostgres = missing === undefined ? test : test.skip

onPostgres(`killed ${times(100)} times, those on PostgreSQL neither${missing ? ` (${missing})` : ''}`, async () => {
  const server = await startServer()
  const next = async () => (await newDatabase(server.url)).url
  // The server learns of the end of a client when it next answers it, and may commit until then.
  await killWriters({ kills: times(100), random: chance(seed), next, quiet }).finally(server.remove)
})

test(`killed ${times(30)} times while it forgets, a process leaves what the next opening finishes`, async () => {
  const random = chance(seed)
  for (let round = 0; round < times(30); round++) {
    const file = join(folder, `forget-${round}.db`)
    const store = await openStore(await sqliteStorage({ file }))
    const events = Array.from({ length: 1_000 }, () => ({ type: 'Told', data: 'secret', tags: ['secret'] }))
    for (let turn = 0; turn < 8; turn++) await store.append('person/1', events)
    await store.append('person/2', [{ type: 'Told', data: 'kept' }])
    await store.close()
    const { process, done } = startForgetting([file])
    await new Promise((resolve) => setTimeout(resolve, 100 + random() * 400))
    process.kill('SIGKILL')
    await done
    const again = await openStore(await sqliteStorage({ file }))
    const forgotten = (await again.details('person/1'))?.forgotten
    // Where it was killed before the tombstone, nothing has happened at all.
    if (!forgotten) {
      expect((await again.load('person/1', { initialState: () => 0, evolve: (n: number) => n + 1 })).state).toBe(8_000)
    }
    await again.close()
    const storage = await sqliteStorage({ file })
    const states = (await logAll(storage)).map(({ state }) => state)
    const expected = forgotten ? 'forgotten' : 'stored'
    expect(states).toEqual([...Array(8_000).fill(expected), 'stored', ...(forgotten ? ['tombstone'] : [])])
    await storage.close()
  }
})
