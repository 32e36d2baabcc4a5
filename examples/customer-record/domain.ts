/** The domain: what a customer is, what is recorded of one, and what a command leads to. Pure: it knows no store and no HTTP. */
import type { Decider, EventOf } from 'daybook'
import * as z from 'zod/mini'
import { Refused } from '../web/refused.ts'

const text = z.optional(z.string('must be a text'))
const group = <Shape extends z.core.$ZodShape>(shape: Shape) => z.object(shape, 'must be an object')

/** What a person or an organisation tells of itself. Nothing is required, and what is not named here is not kept. */
export const details = group({
  organisationName: text,
  customerName: z.optional(group({ title: text, foreNames: text, surname: text })),
  customerAddress: z.optional(
    group({
      addressType: text,
      address: z.optional(
        group({
          addressLine1: text,
          addressLine2: text,
          addressLine3: text,
          addressLine4: text,
          addressLine5: text,
          postalCode: text,
        }),
      ),
    }),
  ),
})
export type Details = z.infer<typeof details>

/** The version counts the events of the customer: it is the revision of the stream. */
export const customer = z.extend(details, {
  customerId: z.string('must be a text'),
  version: z.int('must be a whole number').check(z.minimum(1, 'must be at least 1')),
})
export type Customer = z.infer<typeof customer>
export type Kind = 'Person' | 'Organisation'

/** Each holds the customer as it is from then on. */
export type CustomerEvent = EventOf<{
  PersonCustomerCreatedEvent: Customer
  PersonCustomerUpdatedEvent: Customer
  OrganisationCustomerCreatedEvent: Customer
  OrganisationCustomerUpdatedEvent: Customer
}>

/** All that remains of a customer who was forgotten. */
export const deleted = { type: 'CustomerDeleteEvent', data: null } as const

export interface CustomerCommand {
  readonly does: 'create' | 'amend'
  readonly kind: Kind
  readonly customerId: string
  /** An amendment replaces all of them. */
  readonly details: Details
  /** Of the event that follows, so that the same command given twice is recorded once. */
  readonly eventId: string
}

export interface CustomerState {
  readonly kind: Kind
  readonly customer: Customer
}

export function customerStream(customerId: string): string {
  return `customer/${customerId}`
}

export const customers: Decider<CustomerCommand, CustomerEvent | typeof deleted, CustomerState | undefined> = {
  initialState: () => undefined,

  evolve(_, event) {
    switch (event.type) {
      case 'PersonCustomerCreatedEvent':
      case 'PersonCustomerUpdatedEvent':
        return { kind: 'Person', customer: event.data }
      case 'OrganisationCustomerCreatedEvent':
      case 'OrganisationCustomerUpdatedEvent':
        return { kind: 'Organisation', customer: event.data }
      case 'CustomerDeleteEvent':
        return undefined
    }
  },

  decide({ does, kind, customerId, details, eventId }, state) {
    const version = (state?.customer.version ?? 0) + 1
    const event = { id: eventId, data: { ...details, customerId, version } }
    if (does === 'create') {
      if (state) throw new Refused(`There is a customer ${customerId} already`)
      return [{ type: `${kind}CustomerCreatedEvent`, ...event }]
    }
    if (!state) throw unknownCustomer(customerId)
    if (state.kind !== kind) throw new Refused(`Customer ${customerId} is no ${kind.toLowerCase()}`, { customerId })
    return [{ type: `${kind}CustomerUpdatedEvent`, ...event }]
  },
}

export function unknownCustomer(customerId: string): Refused {
  return new Refused(`There is no customer ${customerId}`, { customerId })
}
