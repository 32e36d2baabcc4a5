/** The rows of `routes.ts` as a web application, and what it says where the store speaks of streams. */
import { type Application, type AppOptions, type WebApp, webApp } from '../web/app.ts'
import { Refused, type Words } from '../web/refused.ts'
import { unknownAd } from './domain.ts'
import { type RouteOptions, routesOf } from './routes.ts'

const words: Words = {
  unknown: unknownAd,
  conflict: (_, adId) => new Refused(`Others write to ad ${adId} all the time; send the request again`, { adId }),
  fields: { stream: 'adId', id: 'adId', until: 'endDateTime' },
}

export function applicationOf(options: RouteOptions): Application {
  return {
    title: 'Classified ads',
    description:
      'Ads that publishers create, update and delete; found by words; with all that was ever recorded of them.',
    routes: routesOf(options),
    words,
  }
}

/** Of a store that was opened with the projection of `views.ts`. */
export function createApp({ store, log, ...options }: AppOptions & RouteOptions): WebApp {
  return webApp(applicationOf(options), { store, log })
}
