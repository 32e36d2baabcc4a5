/** A PostgreSQL that is killed at random moments, while writers in processes of their own and a subscriber here go on. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgresStorage } from '../../src/storage/postgres/storage.ts'
import { underLoad } from '../engines/load.ts'
import { newDatabase, quiet } from '../engines/postgres.ts'
import { missingPrograms, type Server, startServer } from '../engines/server.ts'
import { killServer } from '../processes/kills.ts'
import { chance, seed, times } from './share.ts'

const missing = missingPrograms()
const kills = times(100)

/** A way to the server on which connections can fall silent, as when it has vanished; new ones come through. */
async function wayTo(url: string) {
  const { hostname, port } = new URL(url)
  const open = new Set<Socket>()
  const way = createServer((near) => {
    const far = connect(Number(port), hostname)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(way, 'listening')
  const through = new URL(url)
  const address = way.address()
  through.port = String(typeof address === 'object' && address?.port)
  return {
    url: through.href,
    fallSilent() {
      for (const socket of open) socket.unpipe().pause()
    },
    close() {
      for (const socket of open) socket.destroy()
      way.close()
    },
  }
}

describe.skipIf(missing !== undefined)(`PostgreSQL${missing ? ` (${missing})` : ''}`, () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server?.remove())

  test('where it falls silent, writers and subscribers wait for half a minute and go on over other connections', async () => {
    const { url } = await newDatabase(server.url)
    const way = await wayTo(url)
    await underLoad(way.url, async (load) => {
      await load.more(60)
      way.fallSilent()
      const before = load.acknowledged()
      for (let seconds = 0; seconds < 90 && load.acknowledged() < before + 60; seconds++) {
        await new Promise((resolve) => setTimeout(resolve, 1_000))
      }
      expect(load.acknowledged()).toBeGreaterThanOrEqual(before + 60)
    })
    way.close()
  })

  test(`killed ${kills} times, it loses and doubles nothing that it acknowledged, and all go on (LONG_SEED=${seed})`, async () => {
    await killServer({
      kills,
      random: chance(seed),
      next: async () => (await newDatabase(server.url)).url,
      quiet,
      async open(url) {
        const pool = new pg.Pool({ connectionString: url, application_name: 'the subscriber' })
        // Each break is told here as well.
        pool.on('error', () => {})
        const storage = await postgresStorage({ pool })
        const close = () => storage.close().then(() => pool.end())
        return { ...storage, close }
      },
      async kill() {
        await server.kill()
        await server.start()
      },
    })
  })
})
