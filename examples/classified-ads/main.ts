/** The server: `npm run example:classified-ads`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import { signerOf } from 'daybook'
import { startWorkers } from 'daybook/node'
import { open, openObjects } from 'daybook/open'
import pino from 'pino'
import { listen } from '../web/listen.ts'
import { createApp } from './app.ts'
import { definitions, storeUrl } from './definitions.ts'

const { PORT = '8080', DAYBOOK_SIGNER_KEY } = process.env
const { projections, retention, places } = definitions
const signer = DAYBOOK_SIGNER_KEY ? signerOf(DAYBOOK_SIGNER_KEY) : undefined
const log = pino()

await using store = await open(storeUrl, {
  projections,
  archive: { objects: await openObjects(places.archive), retention },
  states: await openObjects(places.states),
  ...(signer && { ledger: { signer } }),
})
// Build the views of a log that is older than they are; archive and seal, and write the views down each month.
await startWorkers({ store, app: definitions, logger: log })
await listen(createApp({ store, log, verifierKey: signer?.verifierKey }), { port: PORT, log })
