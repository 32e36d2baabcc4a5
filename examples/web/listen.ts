/** Serves an application on this machine. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import type { Logger } from 'pino'
import type { WebApp } from './app.ts'

export interface Listening {
  /** Where the application's page is. */
  readonly page: string
  /** Resolves when what was accepted is answered. */
  close(): Promise<void>
}

/** Rejects where the port cannot be had; 0 takes any free one. */
export async function startListening({ fetch }: WebApp, port: number): Promise<Listening> {
  const server = serve({ fetch, hostname: '127.0.0.1', port })
  await once(server, 'listening')
  return {
    page: `http://127.0.0.1:${(server.address() as AddressInfo).port}/openapi/`,
    async close() {
      server.close()
      await once(server, 'close')
    },
  }
}

/** Until SIGINT or SIGTERM. */
export async function listen(app: WebApp, { port, log }: { readonly port: string; readonly log: Logger }) {
  const ended = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  const { page, close } = await startListening(app, Number(port))
  log.info({ page }, 'listening')
  await ended
  await close()
}
