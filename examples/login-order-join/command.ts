/**
 * By hand, what else producers and the queue do: `npm run example:login-order-join:seed`, `:login`, `:order`, `:snapshot`,
 * `:trim`. On the store of the server, which may run meanwhile; so not on `memory:`, which no other process sees.
 */
import type { Store } from 'daybook'
import { join, openJoin, storeUrl } from './definitions.ts'
import type { UserEventBody } from './domain.ts'
import { ingest } from './ingest.ts'
import { takeSnapshot } from './upkeep.ts'

const ann = '3fa5b0c2-7d24-4c6f-9e0e-51d4f6a0a001'
/** Logs in, and is never created: a join of which a part has not come. */
const bob = '3fa5b0c2-7d24-4c6f-9e0e-51d4f6a0b002'

const facts = () => ({ id: crypto.randomUUID(), timestamp: Date.now() })
const created = (): UserEventBody => ({ ...facts(), type: 'user-created', user: { id: ann, name: 'Ann' } })
const loggedIn = (id: string): UserEventBody => ({ ...facts(), type: 'user-loggedIn', user: { id } })
const ordered = (): UserEventBody => ({ ...facts(), type: 'order-submitted', order: { userId: ann } })

const commands: Readonly<Record<string, (store: Store) => Promise<object>>> = {
  seed: (store) => ingest(store, [created(), loggedIn(ann), ordered(), loggedIn(bob)]),
  login: (store) => ingest(store, loggedIn(ann)),
  order: (store) => ingest(store, ordered()),
  async snapshot(store) {
    const snapshotSequence = await takeSnapshot(store, join.views.settled, ann)
    return snapshotSequence === undefined
      ? { nothingToDo: 'no event of Ann is older than LATENESS_MS' }
      : { snapshotSequence }
  },
  async trim(store) {
    const [{ events = 0 } = {}] = await store.archive.run({ streamTypes: ['user'] })
    return events === 0 ? { nothingToDo: 'all before the snapshots is trimmed' } : { trimmed: events }
  },
}

const [name = ''] = process.argv.slice(2)
const command = commands[name]
if (command === undefined) throw new Error(`"${name}" is no command: say ${Object.keys(commands).join(', ')}`)
if (storeUrl.startsWith('memory:')) throw new Error('memory: is seen by one process alone; name another store')
await using store = await openJoin()
process.stdout.write(`${JSON.stringify(await command(store))}\n`)
