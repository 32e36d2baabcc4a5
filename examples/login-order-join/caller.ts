/** What the tests ask the application with. */
import { type Clock, type EmbeddedStore, type ObjectStore, openStore, type Storage } from 'daybook'
import { type Caller, callerOf as callerOfStore } from '../web/caller.ts'
import { type LoginOrderJoin, loginOrderJoin } from './app.ts'
import type { UserEventBody } from './domain.ts'
import type { Settings } from './settings.ts'

export interface JoinCaller extends Caller {
  readonly store: EmbeddedStore
  readonly join: LoginOrderJoin
  /** What `GET /users/{id}` answers once the view holds all that is recorded of the user. */
  user(id: string): Promise<unknown>
}

export interface CallerOptions {
  readonly settings?: Partial<Settings>
  readonly clock?: Clock
  /** Where trimmed events go. */
  readonly objects?: ObjectStore
  /** Also what the queue asks for is done. */
  readonly works?: true
}

export async function callerOf(
  storage: Storage,
  { settings = {}, clock = Date.now, objects, works }: CallerOptions = {},
): Promise<JoinCaller> {
  const join = loginOrderJoin({ latenessMs: 60_000, snapshotEvery: 100, snapshotSlowerMs: 10_000, ...settings })
  const { projections, retention } = join
  const archive = objects && { objects, retention }
  const store = await openStore(storage, { projections, clock, ...(archive && { archive }) })
  const { onFolded, handlers } = join.upkeep(store, { error() {} })
  store.projections.start(works ? { onFolded } : {})
  if (works) store.jobs.work(handlers)
  const caller = callerOfStore(store, join.createApp)
  return {
    ...caller,
    store,
    join,
    async user(id) {
      const stream = `user/${id}`
      const revision = (await store.details(stream))?.revision ?? 0
      if (revision > 0) await store.views.get(join.views.users, id, { after: { stream, revision }, timeoutMs: 20_000 })
      const { status, body } = await caller.get(`users/${id}`)
      return status === 200 ? body : status
    },
  }
}

let made = 0
/** With an id of its own, told at this time. */
export function created(user: string, timestamp: number, name = user): UserEventBody {
  return { id: `event ${++made}`, type: 'user-created', timestamp, user: { id: user, name } }
}
export function loggedIn(user: string, timestamp: number): UserEventBody {
  return { id: `event ${++made}`, type: 'user-loggedIn', timestamp, user: { id: user } }
}
export function ordered(userId: string, timestamp: number): Extract<UserEventBody, { type: 'order-submitted' }> {
  return { id: `event ${++made}`, type: 'order-submitted', timestamp, order: { userId } }
}
