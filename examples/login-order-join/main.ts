/** The server: `npm run example:login-order-join`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import { startWorkers } from 'daybook/node'
import { listen } from '../web/listen.ts'
import { definitions, join, log, openJoin } from './definitions.ts'

await using store = await openJoin()
await startWorkers({ store, app: definitions, logger: log })
await listen(join.createApp({ store, log }), { port: process.env['PORT'] ?? '8080', log })
