/** A server that is stopped and started under those who use it; and one that comes back without what it last had. */
import { execFileSync } from 'node:child_process'
import pino from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { underLoad } from '../../../test/engines/load.ts'
import { newDatabase } from '../../../test/engines/postgres.ts'
import { missingPrograms, type Server, startServer } from '../../../test/engines/server.ts'
import { range } from '../../conformance/kit.ts'
import { collect, until } from '../../conformance/store/kit.ts'
import { openStore } from '../../core/store.ts'
import { serve } from '../../hosts/node.ts'
import { createClient } from '../../http/client.ts'
import { postgresStorage } from './storage.ts'

const missing = missingPrograms()

describe.skipIf(missing !== undefined)(`a PostgreSQL that comes and goes${missing ? ` (${missing})` : ''}`, () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server?.remove())

  test('while the server is restarted nothing acknowledged is lost or doubled; writers and subscribers go on', async () => {
    const { url } = await newDatabase(server.url)
    await underLoad(url, async (load) => {
      for (const restart of [server.stop, server.kill, server.stop, server.kill]) {
        await load.more(60)
        await restart()
        await server.start()
      }
      await load.more(60)
    })
  })

  test('a log that has lost its tail is noticed by who reads it, who decides by it and who writes to it', async () => {
    const { url } = await newDatabase(server.url)
    const store = await openStore(await postgresStorage({ url }))
    const write = (revision: number, more = {}) =>
      store.append('seat/1', [{ type: 'Happened', id: `event-${revision}` }], { expected: revision - 1, ...more })
    for (const revision of range(1, 3)) await write(revision)
    const standby = `${server.data}.standby`
    await server.stop()
    execFileSync('cp', ['-a', server.data, standby])
    await server.start()

    for (const revision of range(4, 5)) await write(revision)
    const seen: (number | undefined)[] = []
    const following = (async () => {
      for await (const { position } of store.subscribe({ onTrouble() {} })) seen.push(position)
    })()
    await until(() => seen.length === 5)
    const noticed = expect(following).rejects.toMatchObject({ code: 'position-beyond-head', position: 5, head: 3 })
    await server.stop()
    execFileSync('rm', ['-r', server.data])
    execFileSync('mv', [standby, server.data])
    await server.start()

    await noticed
    const beyond = { code: 'position-beyond-head', position: 5, head: 3 }
    await expect(collect(store.subscribe({ after: 5 }))).rejects.toMatchObject(beyond)
    await expect(collect(store.readLog({ after: 5 }))).rejects.toMatchObject(beyond)
    const condition = { query: [{ types: ['Happened'] }], after: 5 }
    await expect(store.append('seat/2', [{ type: 'Happened' }], { condition })).rejects.toMatchObject(beyond)
    await expect(write(6)).rejects.toMatchObject({ code: 'revision-conflict', actual: 3 })
    // What was acknowledged and lost is recorded anew by who repeats it; what was not lost is known.
    expect(await write(3)).toMatchObject({ revision: 3, position: 3, repeated: true })
    for (const revision of range(4, 5)) {
      expect(await write(revision)).toMatchObject({ revision, position: revision, repeated: false })
    }
    await store.close()
  })

  test('it is noticed also where others have written past the reader before it looks again', async () => {
    const { url } = await newDatabase(server.url)
    const store = await openStore(await postgresStorage({ url }))
    await store.append('seat/1', [{ type: 'Kept' }])
    const [before, grown] = [`${server.data}.before`, `${server.data}.grown`]
    const swap = async (to: string, from?: string) => {
      await server.stop()
      execFileSync('cp', ['-a', server.data, to])
      if (from) execFileSync('rm', ['-r', server.data])
      if (from) execFileSync('mv', [from, server.data])
      await server.start()
    }
    await swap(before)
    for (const seat of [2, 3, 4]) await store.append(`seat/${seat}`, [{ type: 'Other' }])
    await swap(grown, before)

    await store.append('seat/1', [{ type: 'Lost' }])
    const api = await serve({ store, port: 0, logger: pino({ level: 'silent' }) })
    const client = createClient({ url: api.url })
    const noticed = [store, client].map(async (reader) => {
      for await (const { position } of reader.subscribe({ onTrouble() {} })) if (position === 2) seen++
    })
    let seen = 0
    const diverged = noticed.map((following) =>
      expect(following).rejects.toMatchObject({ code: 'log-diverged', position: 2, stream: 'seat/1', revision: 2 }),
    )
    await until(() => seen === 2)
    await swap(`${server.data}.lost`, grown)
    await Promise.all(diverged)
    await client.close()
    await api.close()
    await store.close()
  })
})
