/** The server: `npm run example:customer-record`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import { startWorkers } from 'daybook/node'
import { open } from 'daybook/open'
import pino from 'pino'
import { listen } from '../web/listen.ts'
import { createApp } from './app.ts'
import definitions from './definitions.ts'

const { PORT = '8080', DAYBOOK_STORE = 'sqlite:./customer-record.db' } = process.env
const log = pino()

await using store = await open(DAYBOOK_STORE, definitions)
// Build the views of a log that is older than they are, and end the forgetting that another process has begun.
await startWorkers({ store, app: definitions, logger: log })
await listen(createApp({ store, log }), { port: PORT, log })
