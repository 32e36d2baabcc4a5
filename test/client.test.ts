/** The store over HTTP keeps the contract of the store, also while its server is started anew again and again. */
import pino from 'pino'
import { describe, test } from 'vitest'
import { type OpenStore, type StoreSetting, storeConformance } from '../src/conformance/index.ts'
import { openStore, type Store } from '../src/core/store.ts'
import { type Server, serve } from '../src/hosts/node.ts'
import { createClient } from '../src/http/client.ts'
import { type MemoryLog, memoryLog, memoryStorage } from '../src/storage/memory/storage.ts'

const logger = pino({ level: 'silent' })

/** A client of a server of its own; the same name has the same log behind it. */
function overHttp(serveStore: (store: Store) => Promise<Served>): OpenStore {
  const logs = new Map<string, MemoryLog>()
  return async (setting: StoreSetting) => {
    const log = logs.get(setting.name) ?? memoryLog()
    logs.set(setting.name, log)
    const store = await openStore(memoryStorage({ log, ...(setting.clock && { clock: setting.clock }) }), setting)
    const { url, close } = await serveStore(store)
    const client = createClient({ url })
    return {
      ...client,
      async close() {
        await client.close()
        await close()
        await store.close()
      },
    }
  }
}

interface Served {
  readonly url: string
  close(): Promise<void>
}

async function steadily(store: Store): Promise<Served> {
  const { url, close } = await serve({ store, port: 0, logger })
  return { url, close }
}

/** Stops, stays away for a moment, and starts again at the same place, some ten times a second; it is up for most of the time. */
async function restarting(store: Store): Promise<Served> {
  let server: Server = await serve({ store, port: 0, logger })
  const { url } = server
  let ended = false
  const restarts = (async () => {
    for (let awayMs = 0; !ended; ) {
      await pause(Math.max(80, 3 * awayMs))
      const gone = performance.now()
      await server.close()
      await pause(20)
      server = await serve({ store, port: Number(new URL(url).port), logger })
      awayMs = performance.now() - gone
    }
    await server.close()
  })()
  return {
    url,
    async close() {
      ended = true
      await restarts
    },
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const servers = { 'a server': steadily, 'a server that is started anew all the time': restarting }
for (const [name, serveStore] of Object.entries(servers)) {
  describe(`the client of ${name}`, () => {
    for (const { promise, run } of storeConformance(overHttp(serveStore))) test(promise, run)
  })
}
