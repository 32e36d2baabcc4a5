/** What the events become: the customers as they are, and which request has recorded what. Both commit with the events. */
import { projection, type Seen } from 'daybook'
import { keyReused } from '../web/refused.ts'
import type { Customer, CustomerEvent } from './domain.ts'

const asRecorded = (_: Customer | undefined, { data }: { readonly data: Customer }) => data

/** By their ids. Forgetting a customer takes the view away. */
export const customerViews = projection<CustomerEvent, Customer>()({
  name: 'customers',
  lifecycle: 'inline',
  streamTypes: ['customer'],
  on: {
    PersonCustomerCreatedEvent: asRecorded,
    PersonCustomerUpdatedEvent: asRecorded,
    OrganisationCustomerCreatedEvent: asRecorded,
    OrganisationCustomerUpdatedEvent: asRecorded,
  },
})

interface Request {
  readonly stream: string
  readonly revision: number
}

/** The same request again is a repeat to the store, and comes by here once; another one under its key is refused. */
function once(earlier: Request | undefined, { stream, revision }: Seen<CustomerEvent, 'inline'>): Request {
  if (earlier) throw keyReused()
  return { stream, revision }
}

/** By the ids of requests that came with an `Idempotency-Key`, so that a key is good for one request, on every storage. */
export const requestViews = projection<CustomerEvent, Request>()({
  name: 'requests',
  lifecycle: 'inline',
  streamTypes: ['customer'],
  key: ({ meta }) => meta?.['request'] as string | undefined,
  on: {
    PersonCustomerCreatedEvent: once,
    PersonCustomerUpdatedEvent: once,
    OrganisationCustomerCreatedEvent: once,
    OrganisationCustomerUpdatedEvent: once,
  },
})

export const projections = [customerViews, requestViews]
