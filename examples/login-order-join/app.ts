/** The application: what its store is opened with, what it serves, and what works for it. */
import type { AnyProjection, Retention, Store } from 'daybook'
import { type Application, type AppOptions, type WebApp, webApp } from '../web/app.ts'
import { Refused } from '../web/refused.ts'
import { routesOf, unknownUser } from './routes.ts'
import type { Settings } from './settings.ts'
import { type Upkeep, upkeepOf } from './upkeep.ts'
import { type UserViews, viewsOf } from './views.ts'

export interface LoginOrderJoin {
  readonly application: Application
  readonly views: UserViews
  readonly projections: readonly AnyProjection[]
  /** Before a user's snapshot nothing has to stay in the storage but its last event. */
  readonly retention: Retention
  createApp(options: AppOptions): WebApp
  /** For the runner and the workers of a store that was opened with these projections and an archive. */
  upkeep(store: Store, log: AppOptions['log']): Upkeep
}

export function loginOrderJoin(settings: Settings): LoginOrderJoin {
  const views = viewsOf(settings)
  const application = {
    title: 'Login and order join',
    description: 'Who has logged in last and when, and how many orders there are, joined from events as they come.',
    routes: routesOf(views),
    words: {
      unknown: unknownUser,
      conflict: ({ message }: Error) => new Refused(message),
      fields: { stream: 'id' },
    },
    bodyBytes: 8_388_608,
  }
  return {
    application,
    views,
    projections: [views.users, views.settled],
    retention: { user: { sinceSnapshot: { name: views.settled.name, version: 1 } } },
    createApp: (options) => webApp(application, options),
    upkeep: (store, log) => upkeepOf(store, views, settings, log),
  }
}
