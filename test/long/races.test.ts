/** The races of the contract, over and over, and with more processes than the short tests have. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { positionsOf, range } from '../../src/conformance/kit.ts'
import { races } from '../../src/conformance/storage/races.ts'
import { openStore } from '../../src/core/store.ts'
import { memoryLog, memoryStorage } from '../../src/storage/memory/storage.ts'
import { sqliteStorage } from '../../src/storage/sqlite/storage.ts'
import { checkFile, startWriter } from '../processes/writers.ts'
import { times } from './share.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-races-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test(`the races of the contract hold ${times(50)} times on each storage`, async () => {
  const logs = new Map<string, ReturnType<typeof memoryLog>>()
  const storages = [
    races(async ({ name }) => {
      const log = logs.get(name) ?? memoryLog()
      logs.set(name, log)
      return memoryStorage({ log })
    }),
    races(({ name }) => sqliteStorage({ file: join(folder, `${name}.db`) })),
    races(({ name }) => sqliteStorage({ file: join(folder, `${name}.db`), thread: true })),
  ]
  for (let round = 0; round < times(50); round++) {
    for (const cases of storages) for (const { run } of cases) await run()
    logs.clear()
  }
})

test('six processes write to one file while subscribers in another follow all of it', async () => {
  const file = join(folder, 'six.db')
  const [processes, callers, count] = [6, 8, times(500)]
  const total = processes * callers * count
  const storage = await sqliteStorage({ file })
  const store = await openStore({ ...storage, close: async () => {} })
  const follow = async (filter: object, most: number) => {
    const seen: { position?: number }[] = []
    for await (const entry of store.subscribe(filter)) {
      seen.push(entry)
      if (seen.length === most) break
    }
    return seen
  }
  const all = follow({}, total)
  const ofOne = follow({ tags: ['writer:3'] }, callers * count)
  const writers = range(1, processes).map((writer) =>
    startWriter({ url: `sqlite:${file}`, writer: String(writer), callers, count }),
  )
  const acknowledged = (await Promise.all(writers.map(({ done }) => done))).flat()
  expect(acknowledged).toHaveLength(total)
  expect(positionsOf(await all)).toEqual(range(1, total))
  const expected = acknowledged.filter(({ stream }) => stream.startsWith('seat/3-')).map(({ position }) => position)
  expect(positionsOf(await ofOne)).toEqual(expected.toSorted((a = 0, b = 0) => a - b))
  await checkFile(storage, acknowledged)
  await storage.close()
})
