/** What the tests ask the application with. */
import { type EmbeddedStore, openStore, type Storage, type StoreOptions } from 'daybook'
import { type Caller, callerOf as callerOfStore } from '../web/caller.ts'
import { createApp } from './app.ts'
import type { RouteOptions } from './routes.ts'
import { adViewsOf, type SearchOptions } from './views.ts'

export async function callerOf(
  storage: Storage,
  { words, draw, ...options }: StoreOptions & SearchOptions & Pick<RouteOptions, 'draw'> = {},
): Promise<Caller & { readonly store: EmbeddedStore }> {
  const projections = [adViewsOf(words === undefined ? {} : { words })]
  const store = await openStore(storage, { ...options, projections })
  const verifierKey = options.ledger?.signer?.verifierKey
  const caller = callerOfStore(store, (given) => createApp({ ...given, verifierKey, ...(draw && { draw }) }))
  return { ...caller, store }
}
