/** The client of a server, where a store is wanted. */
import pino from 'pino'
import type { OpenStorage, OpenStore, StoreSetting } from '../../src/conformance/index.ts'
import { openStore, type Store } from '../../src/core/store.ts'
import { serve } from '../../src/hosts/node.ts'
import { createClient } from '../../src/http/client.ts'

export const logger = pino({ level: 'silent' })

/** A client of a server of its own. */
export function overHttp(openStorage: OpenStorage, serveStore: (store: Store) => Promise<Served>): OpenStore {
  return async (setting: StoreSetting) => {
    const store = await openStore(await openStorage(setting), setting)
    const { url, close } = await serveStore(store)
    const client = createClient({ url, verifierKeys: verifierKeysOf(setting) })
    return {
      ...client,
      // What runs handlers is where they are: beside the server.
      projections: { ...client.projections, start: store.projections.start, run: store.projections.run },
      jobs: { ...client.jobs, work: store.jobs.work },
      consumers: { ...client.consumers, run: store.consumers.run, consume: store.consumers.consume },
      async close() {
        await client.close()
        await close()
        await store.close()
      },
    }
  }
}

/** By them its client checks what the server proves. */
function verifierKeysOf({ ledger: { signer, verifierKeys = [] } = {} }: StoreSetting): readonly string[] {
  return signer ? [signer.verifierKey, ...verifierKeys] : verifierKeys
}

export interface Served {
  readonly url: string
  close(): Promise<void>
}

export async function steadily(store: Store): Promise<Served> {
  const { url, close } = await serve({ store, port: 0, logger })
  return { url, close }
}
