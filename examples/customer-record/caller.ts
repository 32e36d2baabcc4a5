/** What the tests ask the application with. */
import { openStore, type Storage, type StoreOptions } from 'daybook'
import { type Caller, callerOf as callerOfStore } from '../web/caller.ts'
import { createApp } from './app.ts'
import { projections } from './views.ts'

export async function callerOf(storage: Storage, options: StoreOptions = {}): Promise<Caller> {
  return callerOfStore(await openStore(storage, { ...options, projections }), createApp, '/customer/v1/')
}
