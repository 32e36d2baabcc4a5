/**
 * A server of its own process for the HTTP figures: `server.ts <sqlite file>`, or `server.ts echo` for the same app with
 * the same parsing and validation over a store that keeps nothing. Answers "memory" on its input with its RSS.
 */
import { createInterface } from 'node:readline'
import { openStore, type Store } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { serve } from 'daybook/node'
import { sqliteStorage } from 'daybook/sqlite'
import pino from 'pino'

const [file = 'echo'] = process.argv.slice(2)
const store = file === 'echo' ? await echo() : await openStore(await sqliteStorage({ file }))
const { url } = await serve({ store, port: 0, logger: pino(pino.destination('/dev/null')) })
console.log(url)
for await (const _ of createInterface({ input: process.stdin })) {
  console.log(`${process.memoryUsage.rss()} ${process.resourceUsage().maxRSS * 1_024}`)
}
process.exit()

async function echo(): Promise<Store> {
  const store = await openStore(memoryStorage())
  const time = new Date().toISOString()
  const appended = { stream: 'permit/1', first: 1, revision: 1, position: 1, time, ids: ['1'], repeated: false }
  return { ...store, append: async () => appended, appendMany: async () => [appended] }
}
