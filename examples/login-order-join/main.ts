/** The server: `npm run example:login-order-join`. Ends at SIGINT or SIGTERM, when what was accepted is answered. */
import pino from 'pino'
import { listen } from '../web/listen.ts'
import { openJoin } from './open.ts'

const log = pino()
const { store, join } = await openJoin(process.env)
await using _ = store
const { onFolded, handlers } = join.upkeep(store, log)
store.projections.start({ onFolded })
store.jobs.work(handlers)
await listen(join.createApp({ store, log }), { port: process.env['PORT'] ?? '8080', log })
