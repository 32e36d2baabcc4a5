/** The server: `npm run example:classified-ads`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import { signerOf } from 'daybook'
import { open, openObjects } from 'daybook/open'
import pino from 'pino'
import { listen } from '../web/listen.ts'
import { createApp } from './app.ts'
import { adViewsOf } from './views.ts'

const {
  PORT = '8080',
  DAYBOOK_STORE = 'sqlite:./classified-ads.db',
  DAYBOOK_ARCHIVE = 'file:./classified-ads-archive',
  DAYBOOK_SIGNER_KEY,
} = process.env
const log = pino()
const signer = DAYBOOK_SIGNER_KEY ? signerOf(DAYBOOK_SIGNER_KEY) : undefined
// DynamoDB takes 100 items in a commit, and a word is one.
const search = DAYBOOK_STORE.startsWith('dynamodb:') ? { words: 35 } : {}

await using store = await open(DAYBOOK_STORE, {
  projections: [adViewsOf(search)],
  ...(signer && { ledger: { signer } }),
  // What was recorded in the last 90 days stays, and the newest version of each ad, or its deletion.
  archive: { objects: await openObjects(DAYBOOK_ARCHIVE), retention: { ad: { keepDays: 90, keepEvents: 1 } } },
})
await store.jobs.schedule('archive', { cron: '0 3 * * *', kind: '$archive' })
// Builds the views of a log that is older than they are; archives, seals, and ends the forgetting that was begun elsewhere.
store.projections.start()
store.jobs.work({})
await listen(createApp({ store, log, verifierKey: signer?.verifierKey }), { port: PORT, log })
