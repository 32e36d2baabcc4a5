/**
 * All at once, to look around in: the store's own server and the three applications on one store, with some weeks of sample
 * data. `npm run demo` uses a folder that goes when it ends, `npm run demo -- my-folder` one that stays. Ends at SIGINT or SIGTERM.
 */
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { newLedgerKeys, signerOf } from 'daybook'
import { serve, startWorkers } from 'daybook/node'
import { open, openObjects } from 'daybook/open'
import pino from 'pino'
import { createApp as createAdsApp } from '../classified-ads/app.ts'
import { definitions as adDefinitions } from '../classified-ads/definitions.ts'
import { createApp as createCustomerApp } from '../customer-record/app.ts'
import { projections as customerProjections } from '../customer-record/views.ts'
import { loginOrderJoin } from '../login-order-join/app.ts'
import { settingsOf } from '../login-order-join/settings.ts'
import { startListening } from '../web/listen.ts'
import { fill, sights } from './fill.ts'

const { PORT = '8080', DAYBOOK_STORE, DAYBOOK_ARCHIVE, DAYBOOK_STATES, DAYBOOK_SIGNER_KEY } = process.env
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
  const projections = [...customerProjections, ...adDefinitions.projections, ...users.projections]
  const signer = signerOf(DAYBOOK_SIGNER_KEY ?? keptSignerKey())
  const { verifierKey } = signer
  await using store = await open(url, {
    projections,
    archive: {
      objects: await openObjects(DAYBOOK_ARCHIVE ?? `file:${join(folder, 'archive')}`),
      retention: { ...adDefinitions.retention, ...users.retention },
    },
    states: await openObjects(DAYBOOK_STATES ?? `file:${join(folder, 'states')}`),
    ledger: { signer },
  })
  const { onFolded, handlers } = users.upkeep(store, log)
  const { schedules } = adDefinitions
  const app = { projections, schedules, jobs: () => handlers, onFolded: () => onFolded }
  await startWorkers({ store, app, logger: log })

  const port = (offset: number) => (PORT === '0' ? 0 : Number(PORT) + offset)
  const server = await serve({ store, port: port(0), logger: log })
  const parts = [
    { name: 'customer record', ...(await startListening(createCustomerApp({ store, log }), port(1))) },
    { name: 'classified ads', ...(await startListening(createAdsApp({ store, log, verifierKey }), port(2))) },
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
  if (filled) {
    say(`\nRecorded as sample data, or there already: ${filled}.\n\nWorth a look:`)
    for (const [part, path] of await sights(store)) {
      for (const { name, page } of parts) if (name === part) say(`  ${new URL(path, page)}`)
    }
    say(`\nEach proof holds by the verifier key of this demo, ${verifierKey}`)
  }
  await ended
  await Promise.all([server.close(), ...parts.map(({ close }) => close())])
}

/** Whoever starts the demo again on what it has kept goes on with the ledger that is there. */
function keptSignerKey(): string {
  const file = join(folder, 'signer.key')
  if (!existsSync(file)) writeFileSync(file, newLedgerKeys('daybook.example/demo').signerKey, { mode: 0o600 })
  return readFileSync(file, 'utf8')
}
