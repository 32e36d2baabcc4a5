/**
 * All at once, to look around in: the store's own server and the three applications on one store, with some weeks of sample
 * data. `npm run demo` uses a folder that goes when it ends, `npm run demo -- my-folder` one that stays. Ends at SIGINT or SIGTERM.
 */
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { serve } from 'daybook/node'
import { open, openObjects } from 'daybook/open'
import pino from 'pino'
import { createApp as createAdsApp } from '../classified-ads/app.ts'
import { definitions as adDefinitions } from '../classified-ads/definitions.ts'
import { createApp as createCustomerApp } from '../customer-record/app.ts'
import { projections as customerProjections } from '../customer-record/views.ts'
import { loginOrderJoin } from '../login-order-join/app.ts'
import { settingsOf } from '../login-order-join/settings.ts'
import { startListening } from '../web/listen.ts'
import { fill } from './fill.ts'

const { PORT = '8080', DAYBOOK_STORE, DAYBOOK_ARCHIVE, DAYBOOK_STATES } = process.env
const [named] = process.argv.slice(2)
// A store that stays needs its archive to stay.
const passing = named === undefined && (DAYBOOK_STORE === undefined || DAYBOOK_STORE.startsWith('memory:'))
const folder = passing ? mkdtempSync(join(tmpdir(), 'daybook-demo-')) : resolve(named ?? 'daybook-demo')
mkdirSync(folder, { recursive: true })
const url = DAYBOOK_STORE ?? `sqlite:${join(folder, 'demo.db')}`
const log = pino({ level: 'warn' }, pino.destination(2))
const say = (line: string) => process.stdout.write(`${line}\n`)
const ended = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])

try {
  await demo()
} finally {
  if (passing) rmSync(folder, { recursive: true, force: true })
}

async function demo(): Promise<void> {
  const users = loginOrderJoin(settingsOf(process.env))
  await using store = await open(url, {
    projections: [...customerProjections, ...adDefinitions.projections, ...users.projections],
    archive: {
      objects: await openObjects(DAYBOOK_ARCHIVE ?? `file:${join(folder, 'archive')}`),
      retention: { ...adDefinitions.retention, ...users.retention },
    },
    states: await openObjects(DAYBOOK_STATES ?? `file:${join(folder, 'states')}`),
  })
  for (const [name, schedule] of Object.entries(adDefinitions.schedules)) await store.jobs.schedule(name, schedule)
  const { onFolded, handlers } = users.upkeep(store, log)
  store.projections.start({ onFolded })
  store.jobs.work(handlers)

  const port = (offset: number) => (PORT === '0' ? 0 : Number(PORT) + offset)
  const server = await serve({ store, port: port(0), logger: log })
  const parts = [
    { name: 'customer record', ...(await startListening(createCustomerApp({ store, log }), port(1))) },
    { name: 'classified ads', ...(await startListening(createAdsApp({ store, log }), port(2))) },
    { name: 'login and order join', ...(await startListening(users.createApp({ store, log }), port(3))) },
  ]
  say(`Daybook, on ${url.replace(/\/\/.*@/, '//')}\n`)
  for (const { name, page } of [{ name: 'the store', page: `${server.url}/openapi/` }, ...parts]) {
    say(`  ${name.padEnd(22)}${page}`)
  }
  say(`\nCtrl-C ends it${passing ? ', and removes what it has recorded; "npm run demo -- my-folder" keeps it' : ''}.`)

  const ending = new AbortController()
  ended.then(() => ending.abort())
  const filled = await fill(store, ending.signal)
  if (filled) say(`Recorded as sample data, or there already: ${filled}.`)
  await ended
  await Promise.all([server.close(), ...parts.map(({ close }) => close())])
}
