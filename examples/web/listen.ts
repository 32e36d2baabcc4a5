/** Serves on this machine until SIGINT or SIGTERM, and ends when what was accepted is answered. */
import { once } from 'node:events'
import { serve } from '@hono/node-server'
import type { Logger } from 'pino'
import type { WebApp } from './app.ts'

export async function listen({ fetch }: WebApp, { port, log }: { readonly port: string; readonly log: Logger }) {
  const server = serve({ fetch, hostname: '127.0.0.1', port: Number(port) }, (address) =>
    log.info({ page: `http://127.0.0.1:${address.port}/openapi/` }, 'listening'),
  )
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  server.close()
  await once(server, 'close')
}
