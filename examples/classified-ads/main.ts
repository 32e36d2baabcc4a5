/** The server: `npm run example:classified-ads`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import { signerOf } from 'daybook'
import { open, openObjects } from 'daybook/open'
import pino from 'pino'
import { listen } from '../web/listen.ts'
import { createApp } from './app.ts'
import { definitions, storeUrl } from './definitions.ts'

const { PORT = '8080', DAYBOOK_SIGNER_KEY } = process.env
const { projections, retention, places, schedules } = definitions
const signer = DAYBOOK_SIGNER_KEY ? signerOf(DAYBOOK_SIGNER_KEY) : undefined
const log = pino()

await using store = await open(storeUrl, {
  projections,
  archive: { objects: await openObjects(places.archive), retention },
  states: await openObjects(places.states),
  ...(signer && { ledger: { signer } }),
})
for (const [name, schedule] of Object.entries(schedules)) await store.jobs.schedule(name, schedule)
// Builds the views of a log that is older than they are; archives and seals, and writes the views down each month.
store.projections.start()
store.jobs.work({})
await listen(createApp({ store, log, verifierKey: signer?.verifierKey }), { port: PORT, log })
