/** A PostgreSQL that is killed at random moments, while writers in processes of their own and a subscriber here go on. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { range } from '../../src/conformance/kit.ts'
import { until } from '../../src/conformance/store/kit.ts'
import { openStore } from '../../src/core/store.ts'
import { postgresStorage } from '../../src/storage/postgres/storage.ts'
import { newDatabase, quiet } from '../engines/postgres.ts'
import { missingPrograms, type Server, startServer } from '../engines/server.ts'
import type { Acknowledged } from '../processes/writer.ts'
import { checkFile, startWriter } from '../processes/writers.ts'
import { chance, seed, times } from './share.ts'

const missing = missingPrograms()
const kills = times(100)
const killsOfOneLog = 10

describe.skipIf(missing !== undefined)(`PostgreSQL${missing ? ` (${missing})` : ''}`, () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server?.remove())

  test(`killed ${kills} times, it loses and doubles nothing that it acknowledged, and all go on (LONG_SEED=${seed})`, async () => {
    const random = chance(seed)
    for (let done = 0; done < kills; done += killsOfOneLog) {
      const { url } = await newDatabase(server.url)
      const pool = new pg.Pool({ connectionString: url, application_name: 'the subscriber' })
      // Each break is told here as well.
      pool.on('error', () => {})
      const storage = await postgresStorage({ pool })
      const store = await openStore(storage)
      const ended = new AbortController()
      const seen: (number | undefined)[] = []
      const following = (async () => {
        const options = { signal: ended.signal, onTrouble() {} }
        for await (const { position } of store.subscribe(options)) seen.push(position)
      })()
      const writers = ['1', '2'].map((writer) => startWriter({ url, writer, callers: 4, count: 1_000_000 }))
      const goOn = async () => {
        const before = seen.length
        await until(() => seen.length > before)
      }
      for (let kill = done; kill < Math.min(done + killsOfOneLog, kills); kill++) {
        // Both the writers and the subscriber have found their way back.
        await goOn()
        await new Promise((resolve) => setTimeout(resolve, random() * 400))
        await server.kill()
        await server.start()
      }
      await goOn()
      for (const { process } of writers) process.kill('SIGKILL')
      const acknowledged: Acknowledged[] = []
      for (const { done } of writers) acknowledged.push(...(await done))
      // The server learns of the end of a client when it next answers it, and may commit until then.
      await quiet(url)
      const { head } = await store.info()
      await until(() => seen.length >= head)
      expect(seen).toEqual(range(1, head))
      expect(acknowledged.length).toBeGreaterThan(killsOfOneLog)
      await checkFile(storage, acknowledged)
      ended.abort()
      await following
      await store.close()
      await pool.end()
    }
  })
})
