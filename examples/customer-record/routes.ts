/** The routes, one row each: what a request holds, what it is answered, and the function between. */
import { derivedId } from 'daybook'
import * as z from 'zod/mini'
import { Refused } from '../web/refused.ts'
import { type Asked, type Route, row } from '../web/route.ts'
import {
  type Customer,
  type CustomerCommand,
  customer,
  customerStream,
  customers,
  deleted,
  details,
  type Kind,
  unknownCustomer,
} from './domain.ts'
import { customerViews } from './views.ts'

const customerId = '24353b1c-3acf-5f1e-a1d2-e51a3b4a3f7e'
const person: z.infer<typeof details> = {
  customerName: { title: 'MR', foreNames: 'Ronald', surname: 'Fletcher' },
  customerAddress: {
    addressType: 'STRUCTURED',
    address: { addressLine1: '3 Mill Lane', addressLine2: 'Ely', postalCode: 'CB7 4QQ' },
  },
}
const organisation: z.infer<typeof details> = { organisationName: 'Fletcher & Daughters' }
const examples = { Person: person, Organisation: organisation }

const instant = z.string('must be a text').check(z.meta({ format: 'date-time' }))
const rebuilding = z.object({ customerId: z.string('must be a text'), timestamp: instant }, 'must be an object')

const customerEvent = z.object({
  customerId: z.string(),
  createTime: instant,
  eventId: z.string(),
  eventName: z.enum([
    'PersonCustomerCreatedEvent',
    'PersonCustomerUpdatedEvent',
    'OrganisationCustomerCreatedEvent',
    'OrganisationCustomerUpdatedEvent',
    'CustomerDeleteEvent',
  ]),
  data: z.nullable(customer),
})

export const routes: readonly Route[] = [
  createRoute('Person'),
  createRoute('Organisation'),
  amendRoute('Person'),
  amendRoute('Organisation'),
  row({
    method: 'POST',
    path: '/customer/v1/command/rebuild',
    operationId: 'rebuild',
    tag: 'command',
    summary: 'The customer as it was at an instant',
    description: 'Folded from what was recorded up to then, and written nowhere.',
    body: { schema: rebuilding, example: { customerId, timestamp: '2026-01-31T09:30:00.000Z' } },
    answer: { schema: customer, example: { ...person, customerId, version: 1 } },
    refusal: 'Nothing is recorded of such a customer up to then, or it was deleted.',
    async handle({ store, body: { customerId, timestamp } }) {
      const { state } = await store.load(customerStream(customerId), customers, { at: timestamp })
      if (state) return state.customer
      throw new Refused(`Nothing is recorded of a customer ${customerId} up to ${timestamp}`, { customerId, timestamp })
    },
  }),
  row({
    method: 'POST',
    path: '/customer/v1/command/delete/{customerId}',
    operationId: 'delete',
    tag: 'command',
    summary: 'Forget a customer',
    description: 'Erases all that was ever recorded of it, of however many events; one event remains, which says so.',
    idempotent: true,
    refusal: 'There is no such customer.',
    async handle({ store, path: { customerId = '' }, request = crypto.randomUUID() }) {
      // To forget again for the same reason is a repeat; for another one there is nobody to forget any more.
      await store.forget(customerStream(customerId), { reasonCode: `request ${request}`, tombstone: deleted })
      return undefined
    },
  }),
  row({
    method: 'GET',
    path: '/customer/v1/query/alive',
    operationId: 'queryAlive',
    tag: 'query',
    summary: 'Whether the server is there',
    answer: { schema: z.object({ alive: z.literal(true) }), example: { alive: true } },
    handle: async () => ({ alive: true }),
  }),
  row({
    method: 'GET',
    path: '/customer/v1/query/{customerId}',
    operationId: 'query',
    tag: 'query',
    summary: 'A customer',
    answer: { schema: customer, example: { ...person, customerId, version: 1 } },
    refusal: 'There is no such customer.',
    async handle({ store, path: { customerId = '' } }) {
      const view = await store.views.get(customerViews, customerId)
      if (view) return view
      throw unknownCustomer(customerId)
    },
  }),
  row({
    method: 'GET',
    path: '/customer/v1/query/event/{customerId}',
    operationId: 'queryEvents',
    tag: 'query',
    summary: 'What was recorded of a customer, oldest first',
    description: 'Of a customer that was deleted, the one event that says so.',
    answer: {
      schema: z.object({ events: z.array(customerEvent) }),
      example: {
        events: [
          {
            customerId,
            createTime: '2026-01-31T09:30:00.000Z',
            eventId: 'c5a8f8b7-9d4d-4f6e-8a57-0d0a4b8c2a11',
            eventName: 'PersonCustomerCreatedEvent',
            data: { ...person, customerId, version: 1 },
          },
        ],
      },
    },
    refusal: 'There never was such a customer.',
    async handle({ store, path: { customerId = '' } }) {
      const events: object[] = []
      for await (const { time, id, type, data } of store.read(customerStream(customerId))) {
        events.push({ customerId, createTime: time, eventId: id, eventName: type, data })
      }
      if (events.length > 0) return { events }
      throw unknownCustomer(customerId)
    },
  }),
]

function createRoute(kind: Kind): Route {
  return row({
    method: 'POST',
    path: `/customer/v1/command/create${kind}`,
    operationId: `create${kind}`,
    tag: 'command',
    summary: `Create a customer: ${kind === 'Person' ? 'a person' : 'an organisation'}`,
    description:
      'All fields may be left out, or null. `customerId` and `version` are given here, whatever the request says.',
    body: { schema: details, example: examples[kind] },
    idempotent: true,
    answer: { schema: customer, example: { ...examples[kind], customerId, version: 1 } },
    refusal: 'The request is none, or its key came with another one already.',
    handle(asked) {
      // By the request, so that it makes one customer however often it comes.
      const customerId = asked.request ? derivedId(['customer', asked.request]) : crypto.randomUUID()
      return record(asked, { does: 'create', kind, customerId, details: asked.body }, 0)
    },
  })
}

function amendRoute(kind: Kind): Route {
  return row({
    method: 'POST',
    path: `/customer/v1/command/amend${kind}`,
    operationId: `amend${kind}`,
    tag: 'command',
    summary: `Amend a customer: ${kind === 'Person' ? 'a person' : 'an organisation'}`,
    description: 'Replaces the whole customer, where it still has the version that the request names.',
    body: { schema: customer, example: { ...examples[kind], customerId, version: 1 } },
    idempotent: true,
    answer: { schema: customer, example: { ...examples[kind], customerId, version: 2 } },
    refusal: `There is no such customer, it is no ${kind.toLowerCase()}, or it has another version by now.`,
    // So it is published: whatever fails in an amendment is answered with 400.
    failure: 400,
    handle(asked) {
      const { customerId, version, ...details } = asked.body
      return record(asked, { does: 'amend', kind, customerId, details }, version)
    },
  })
}

/** Decided on the version that the caller has seen, and recorded right behind it or not at all. */
async function record(
  { store, request }: Asked,
  command: Omit<CustomerCommand, 'eventId'>,
  expected: number,
): Promise<Customer | undefined> {
  const eventId = request ?? crypto.randomUUID()
  const { state } = await store.execute(
    customers,
    customerStream(command.customerId),
    { ...command, eventId },
    { expected, ...(request !== undefined && { meta: { request } }) },
  )
  return state?.customer
}
