/** The store over HTTP keeps the contract of the store, also while its server is started anew again and again. */
import { describe, test } from 'vitest'
import { ledgerConformance, storeConformance, viewConformance, workConformance } from '../src/conformance/index.ts'
import type { Store } from '../src/core/store.ts'
import { type Server, serve } from '../src/hosts/node.ts'
import { logger, overHttp, type Served, steadily } from './engines/over-http.ts'
import { missingPostgres } from './engines/postgres.ts'
import { memory, postgres, sqlite } from './engines/storages.ts'

/** Stops, stays away for a moment, and starts again at the same place, some ten times a second; it is up for most of the time. */
async function restarting(store: Store): Promise<Served> {
  let server: Server = await serve({ store, port: 0, logger })
  const { url } = server
  let ended = false
  const restarts = (async () => {
    for (let awayMs = 0; !ended; ) {
      await pause(Math.max(80, 3 * awayMs))
      // However busy this process is, who has come by then is served: it is the server and its callers at once.
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve))
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
]
for (const { name, storage, serveStore, missing } of servers) {
  describe.skipIf(missing !== undefined)(`the client of ${name}${missing ? ` (${missing})` : ''}`, () => {
    for (const { promise, run } of storeConformance(overHttp(storage(), serveStore))) test(promise, run)
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
