/** The server: `npm run example:customer-record`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import { once } from 'node:events'
import { serve } from '@hono/node-server'
import { open } from 'daybook/open'
import pino from 'pino'
import { createApp } from './app.ts'
import { customerViews, requestViews } from './views.ts'

const { PORT = '8080', DAYBOOK_STORE = 'sqlite:./customer-record.db' } = process.env
const log = pino()

await using store = await open(DAYBOOK_STORE, { projections: [customerViews, requestViews] })
// Builds the views of a log that is older than they are, and ends the forgetting that another process has begun.
store.projections.start()
store.jobs.work({})
const { fetch } = createApp({ store, log })
const server = serve({ fetch, hostname: '127.0.0.1', port: Number(PORT) }, ({ port }) =>
  log.info({ page: `http://127.0.0.1:${port}/openapi/` }, 'listening'),
)
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
server.close()
await once(server, 'close')
