/** What the events become: the customers as they are, and which request has recorded what. Both commit with the events. */
import { projection } from 'daybook'
import { once, type Request, requestOf } from '../web/once.ts'
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

/** By the ids of requests that came with an `Idempotency-Key`. */
export const requestViews = projection<CustomerEvent, Request>()({
  name: 'requests',
  lifecycle: 'inline',
  streamTypes: ['customer'],
  key: requestOf,
  on: {
    PersonCustomerCreatedEvent: once,
    PersonCustomerUpdatedEvent: once,
    OrganisationCustomerCreatedEvent: once,
    OrganisationCustomerUpdatedEvent: once,
  },
})

export const projections = [customerViews, requestViews]
