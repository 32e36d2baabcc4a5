/** The rows of `routes.ts` as a web application, and what it says where the store speaks of streams. */
import { type AppOptions, type WebApp, webApp } from '../web/app.ts'
import { Refused, type Words } from '../web/refused.ts'
import { unknownCustomer } from './domain.ts'
import { routes } from './routes.ts'

const words: Words = {
  unknown: unknownCustomer,
  conflict({ expected, actual }, customerId) {
    if (actual === 0) return unknownCustomer(customerId)
    const message = `Customer ${customerId} has version ${actual}, and not ${expected}; query it, and amend what it is now`
    return new Refused(message, { customerId, version: expected, actual })
  },
  fields: { stream: 'customerId', id: 'customerId', until: 'timestamp' },
}

export const application = {
  title: 'Customer record',
  description:
    'Customers as they are, as they were at any instant, and all that was ever recorded of them; until they are forgotten.',
  routes,
  words,
}

/** Of a store that was opened with the projections of `views.ts`. */
export function createApp(options: AppOptions): WebApp {
  return webApp(application, options)
}
