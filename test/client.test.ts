/** The store over HTTP keeps the contract of the store, also while its server is started anew again and again. */
import pino from 'pino'
import { describe, test } from 'vitest'
import {
  ledgerConformance,
  type OpenStorage,
  type OpenStore,
  type StoreSetting,
  storeConformance,
  viewConformance,
  workConformance,
} from '../src/conformance/index.ts'
import { openStore, type Store } from '../src/core/store.ts'
import { type Server, serve } from '../src/hosts/node.ts'
import { createClient } from '../src/http/client.ts'
import { missingDynamo } from './engines/dynamodb.ts'
import { missingPostgres } from './engines/postgres.ts'
import { dynamodb, memory, postgres, sqlite } from './engines/storages.ts'

const logger = pino({ level: 'silent' })

/** A client of a server of its own. */
function overHttp(openStorage: OpenStorage, serveStore: (store: Store) => Promise<Served>): OpenStore {
  return async (setting: StoreSetting) => {
    const store = await openStore(await openStorage(setting), setting)
    const { url, close } = await serveStore(store)
    const client = createClient({ url, verifierKeys: verifierKeysOf(setting) })
    return {
      ...client,
      // What runs handlers is where they are: beside the server.
      projections: { ...client.projections, start: store.projections.start, run: store.projections.run },
      jobs: { ...client.jobs, work: store.jobs.work },
      consumers: { ...client.consumers, run: store.consumers.run, consume: store.consumers.consume },
      async close() {
        await client.close()
        await close()
        await store.close()
      },
    }
  }
}

/** By them its client checks what the server proves. */
function verifierKeysOf({ ledger: { signer, verifierKeys = [] } = {} }: StoreSetting): readonly string[] {
  return signer ? [signer.verifierKey, ...verifierKeys] : verifierKeys
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

const servers = [
  { name: 'a server', storage: memory, serveStore: steadily },
  { name: 'a server that is started anew all the time', storage: memory, serveStore: restarting },
  { name: 'a server on SQLite', storage: sqlite, serveStore: steadily },
  { name: 'a server on PostgreSQL', storage: postgres, serveStore: steadily, missing: missingPostgres() },
  { name: 'a server on DynamoDB', storage: dynamodb, serveStore: steadily, missing: missingDynamo() },
]
for (const { name, storage, serveStore, missing } of servers) {
  describe.skipIf(missing !== undefined)(`the client of ${name}${missing ? ` (${missing})` : ''}`, () => {
    const held = storage === dynamodb ? test.concurrent : test
    for (const { promise, run } of storeConformance(overHttp(storage(), serveStore))) held(promise, run)
  })
}

/** Views and work, whose handlers run beside the server. */
describe('the client of a server of views and work', () => {
  const open = overHttp(memory(), steadily)
  for (const { promise, run } of [...viewConformance(open), ...workConformance(open)]) test.concurrent(promise, run)
})

/** Sealing is done beside the server by its workers, or asked of it. */
describe('the client of a server with a ledger', () => {
  for (const { promise, run } of ledgerConformance(overHttp(memory(), steadily))) test.concurrent(promise, run)
})

/** Pages of views are the storage's. */
describe('the client of a server of views on SQLite', () => {
  for (const { promise, run } of viewConformance(overHttp(sqlite(), steadily))) test.concurrent(promise, run)
})
