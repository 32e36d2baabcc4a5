/** The server: `npm run example:customer-record`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import { open } from 'daybook/open'
import pino from 'pino'
import { listen } from '../web/listen.ts'
import { createApp } from './app.ts'
import { projections } from './views.ts'

const { PORT = '8080', DAYBOOK_STORE = 'sqlite:./customer-record.db' } = process.env
const log = pino()

await using store = await open(DAYBOOK_STORE, { projections })
// Builds the views of a log that is older than they are, and ends the forgetting that another process has begun.
store.projections.start()
store.jobs.work({})
await listen(createApp({ store, log }), { port: PORT, log })
