/** The contract, route by route: what is answered, and each way to be refused. */

import { Ajv2020 } from 'ajv/dist/2020.js'
import ajvFormats from 'ajv-formats'
import { memoryStorage } from 'daybook/memory'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Answer, Caller } from '../web/caller.ts'
import { openApiDocument } from '../web/openapi.ts'
import { application } from './app.ts'
import { callerOf } from './caller.ts'
import { routes } from './routes.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const person = {
  customerName: { title: 'MR', foreNames: 'Ronald', surname: 'Fletcher' },
  customerAddress: { addressType: 'STRUCTURED', address: { addressLine1: '3 Mill Lane', postalCode: 'CB7 4QQ' } },
}
const organisation = { organisationName: 'Fletcher & Daughters' }

let caller: Caller
beforeEach(async () => {
  caller = await callerOf(memoryStorage())
})
afterEach(() => caller.store.close())

const head = async () => (await caller.store.info()).head
const created = async (path: 'createPerson' | 'createOrganisation' = 'createPerson', body: object = person) => {
  const answer = await caller.post(`command/${path}`, body)
  expect(answer.status).toBe(200)
  return String(answer.body?.['customerId'])
}
const eventsOf = async (customerId: string) =>
  (await caller.get(`query/event/${customerId}`)).body?.['events'] as readonly Record<string, unknown>[]

/** With the body that every error has. */
function expectRefused({ status, body, headers }: Answer, message: string | RegExp, details?: unknown): void {
  expect([status, body]).toEqual([
    400,
    {
      message: expect.stringMatching(message),
      requestId: expect.stringMatching(uuid),
      details: details === undefined ? expect.anything() : details,
    },
  ])
  expect(headers.get('x-request-id')).toBe(body?.['requestId'])
}

describe.each([
  ['createPerson', 'PersonCustomerCreatedEvent', person],
  ['createOrganisation', 'OrganisationCustomerCreatedEvent', organisation],
] as const)('POST /customer/v1/command/%s', (path, eventName, details) => {
  test('records the customer under a new id, in version 1, and answers with it', async () => {
    const { status, body } = await caller.post(`command/${path}`, details)
    const customerId = body?.['customerId']
    expect([status, body]).toEqual([200, { ...details, customerId: expect.stringMatching(uuid), version: 1 }])
    expect((await caller.get(`query/${customerId}`)).body).toEqual(body)
    const [event, ...others] = await eventsOf(String(customerId))
    expect([event, others]).toEqual([
      {
        customerId,
        createTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        eventId: expect.stringMatching(uuid),
        eventName,
        data: body,
      },
      [],
    ])
  })

  test('takes a customer of whom nothing is known, and each time makes another one', async () => {
    const [one, other] = [await caller.post(`command/${path}`, {}), await caller.post(`command/${path}`, {})]
    expect(one.body).toEqual({ customerId: expect.stringMatching(uuid), version: 1 })
    expect(other.body?.['customerId']).not.toBe(one.body?.['customerId'])
  })

  test('drops what it does not know, nulls, and a customerId and version of the caller', async () => {
    const sent = {
      ...{ customerId: ['mine'], version: 'x', vip: true, organisationName: null },
      ...{ customerName: { title: 'MS', surname: null, born: 1970 }, customerAddress: { address: {} } },
    }
    const { body } = await caller.post(`command/${path}`, sent)
    const kept = { customerName: { title: 'MS' }, customerAddress: { address: {} } }
    expect(body).toEqual({ ...kept, customerId: expect.stringMatching(uuid), version: 1 })
  })

  test('refuses what is no customer, names each field, and records nothing', async () => {
    const refused = async (body: unknown, message: string, messages?: object) =>
      expectRefused(await caller.post(`command/${path}`, body), message, messages && { messages })
    await refused(undefined, 'The body is no JSON', { requestBody: ['is no JSON'] })
    await refused('{', 'The body is no JSON', { requestBody: ['is no JSON'] })
    await refused(new Uint8Array([0x22, 0xff, 0x22]), 'The body is no JSON', { requestBody: ['is no JSON'] })
    await refused('['.repeat(100_000), 'The body is no JSON', { requestBody: ['is no JSON'] })
    for (const body of ['null', '[]', '7', '"x"']) {
      await refused(body, 'requestBody: must be an object', { requestBody: ['must be an object'] })
    }
    const wrong = { organisationName: 7, customerName: 'Ann', customerAddress: { address: { postalCode: [] } } }
    await refused(wrong, 'organisationName: must be a text', {
      organisationName: ['must be a text'],
      customerName: ['must be an object'],
      'customerAddress.address.postalCode': ['must be a text'],
    })
    const half = { 'customerName.title': ['is no Unicode text: it holds half of a surrogate pair'] }
    await refused('{"customerName":{"title":"\\ud800"}}', 'customerName.title: is no Unicode text', half)
    const large = (characters: number) => ({ organisationName: 'x'.repeat(characters) })
    await refused(large(300_000), 'The body is over 262144 bytes')
    await refused(large(262_100), 'over the limit documentBytes')
    expect(await head()).toBe(0)
  })

  test('under an Idempotency-Key is done once, and answered as the first time, whatever has come since', async () => {
    const first = await caller.post(`command/${path}`, details, 'key 1')
    const customer = first.body ?? {}
    await caller.post(`command/${path.replace('create', 'amend')}`, { ...customer, organisationName: 'Other' })
    const again = await caller.post(`command/${path}`, { ...details, unknown: 1 }, 'key 1')
    expect([again.status, again.body]).toEqual([200, customer])
    const other = await caller.post(`command/${path}`, details, 'key 2')
    expect(other.body?.['customerId']).not.toBe(customer['customerId'])
    expect(await head()).toBe(3)
  })

  test('refuses a key that came with another customer, or is none', async () => {
    const first = await caller.post(`command/${path}`, details, 'key 1')
    expectRefused(await caller.post(`command/${path}`, {}, 'key 1'), 'came with another request', null)
    for (const key of ['', 'x'.repeat(201)]) {
      expectRefused(
        await caller.post(`command/${path}`, details, key),
        'Idempotency-Key: must have 1 to 200 characters',
      )
    }
    expect(await head()).toBe(1)
    await caller.post(`command/delete/${first.body?.['customerId']}`)
    expectRefused(await caller.post(`command/${path}`, details, 'key 1'), 'There is no customer')
  })
})

describe.each([
  ['amendPerson', 'createPerson', 'PersonCustomerUpdatedEvent'],
  ['amendOrganisation', 'createOrganisation', 'OrganisationCustomerUpdatedEvent'],
] as const)('POST /customer/v1/command/%s', (path, create, eventName) => {
  test('replaces the whole customer, in the next version', async () => {
    const customerId = await created(create)
    const second = { organisationName: 'Second', customerId, version: 2 }
    const amended = await caller.post(`command/${path}`, { ...second, version: 1, vip: true })
    expect([amended.status, amended.body]).toEqual([200, second])
    expect((await caller.get(`query/${customerId}`)).body).toEqual(second)
    expect((await caller.post(`command/${path}`, { customerId, version: 2 })).body).toEqual({ customerId, version: 3 })
    const events = await eventsOf(customerId)
    expect(events.slice(1).map(({ eventName, data }) => [eventName, data])).toEqual([
      [eventName, second],
      [eventName, { customerId, version: 3 }],
    ])
  })

  test('refuses a missing, stale or future version, an unknown customer, one of the other kind; and records nothing', async () => {
    const customerId = await created(create)
    await caller.post(`command/${path}`, { customerId, version: 1 })
    const otherKind = await created(create === 'createPerson' ? 'createOrganisation' : 'createPerson')
    const before = await head()
    const refused = async (body: object, message: string | RegExp, details?: unknown) =>
      expectRefused(await caller.post(`command/${path}`, { ...person, ...body }), message, details)
    const notWhole = { messages: { version: ['must be a whole number'] } }
    await refused({ customerId }, 'version: must be a whole number', notWhole)
    await refused({ customerId, version: null }, 'version: must be a whole number', notWhole)
    await refused({ customerId, version: '2' }, 'version: must be a whole number', notWhole)
    await refused({ customerId, version: 1.5 }, 'version: must be a whole number', notWhole)
    for (const version of [0, -1]) await refused({ customerId, version }, 'version: must be at least 1')
    await refused({ customerId, version: 1 }, /has version 2, and not 1/, { customerId, version: 1, actual: 2 })
    await refused({ customerId, version: 3 }, /has version 2, and not 3/, { customerId, version: 3, actual: 2 })
    const unknown = crypto.randomUUID()
    for (const version of [1, 7]) {
      await refused({ customerId: unknown, version }, `There is no customer ${unknown}`, { customerId: unknown })
    }
    await refused({ customerId: otherKind, version: 1 }, /is no (person|organisation)/, { customerId: otherKind })
    await refused({ version: 1 }, 'customerId: must be a text', { messages: { customerId: ['must be a text'] } })
    for (const wrong of ['', '..', 'a/b', '\u0000', 'x'.repeat(201)]) {
      await refused({ customerId: wrong, version: 1 }, /^customerId: /)
    }
    expect(await head()).toBe(before)
  })

  test('under an Idempotency-Key is done once, and answered as the first time, whatever has come since', async () => {
    const customerId = await created(create)
    const amendment = { organisationName: 'Second', customerId, version: 1 }
    const first = await caller.post(`command/${path}`, amendment, 'key 1')
    await caller.post(`command/${path}`, { customerId, version: 2 }, 'key 2')
    const again = await caller.post(`command/${path}`, amendment, 'key 1')
    expect([again.status, again.body]).toEqual([200, first.body])
    expect((await eventsOf(customerId)).length).toBe(3)
  })

  test('refuses a key that came with another content, another version or another customer', async () => {
    const [customerId, other] = [await created(create), await created(create)]
    await caller.post(`command/${path}`, { customerId, version: 1 }, 'key 1')
    const before = await head()
    for (const body of [
      { customerId, version: 1, organisationName: 'Other' },
      { customerId, version: 2 },
      { customerId: other, version: 1 },
    ]) {
      expectRefused(await caller.post(`command/${path}`, body, 'key 1'), 'came with another request', null)
    }
    expect(await head()).toBe(before)
  })
})

describe('POST /customer/v1/command/rebuild', () => {
  test('refuses what is no instant with its zone, and a customer that never was', async () => {
    const customerId = await created()
    const hint = 'must be an instant such as 2026-01-31T09:30:00.000Z (RFC 3339, with an offset)'
    for (const timestamp of ['', 'yesterday', '2026-01-31', '2026-01-31T09:30:00', '2026-02-30T09:30:00Z']) {
      const answer = await caller.post('command/rebuild', { customerId, timestamp })
      expectRefused(answer, 'timestamp: must be an instant', { messages: { timestamp: [hint] } })
    }
    for (const timestamp of [undefined, null, 7]) {
      const answer = await caller.post('command/rebuild', { customerId, timestamp })
      expectRefused(answer, 'timestamp: must be a text', { messages: { timestamp: ['must be a text'] } })
    }
    expectRefused(await caller.post('command/rebuild', {}), 'customerId: must be a text')
    expectRefused(await caller.post('command/rebuild', ''), 'The body is no JSON')
    const unknown = { customerId: crypto.randomUUID(), timestamp: '2100-01-01T00:00:00Z' }
    expectRefused(await caller.post('command/rebuild', unknown), 'Nothing is recorded', unknown)
  })

  test('takes instants of any zone, also to come', async () => {
    const customerId = await created()
    const { body } = await caller.get(`query/${customerId}`)
    for (const timestamp of ['2100-01-01T00:00Z', '2100-01-01T00:00:00.123456789+14:00']) {
      const answer = await caller.post('command/rebuild', { customerId, timestamp })
      expect([answer.status, answer.body]).toEqual([200, body])
    }
  })
})

describe('POST /customer/v1/command/delete/{customerId}', () => {
  test('answers without a body, and leaves the one event that says so', async () => {
    const customerId = await created()
    const { status, headers } = await caller.post(`command/delete/${customerId}`)
    expect([status, headers.get('content-type')]).toEqual([200, null])
    expectRefused(await caller.get(`query/${customerId}`), 'There is no customer', { customerId })
    expect(await eventsOf(customerId)).toEqual([
      {
        customerId,
        createTime: expect.any(String),
        eventId: expect.stringMatching(uuid),
        eventName: 'CustomerDeleteEvent',
        data: null,
      },
    ])
    for (const version of [1, 2, 3]) {
      expectRefused(await caller.post('command/amendPerson', { customerId, version }), 'There is no customer')
    }
    const rebuild = { customerId, timestamp: new Date(Date.now() + 1_000).toISOString() }
    expectRefused(await caller.post('command/rebuild', rebuild), 'Nothing is recorded')
  })

  test('refuses a customer that never was, and one that is deleted already', async () => {
    expectRefused(await caller.post('command/delete/nobody'), 'There is no customer nobody', { customerId: 'nobody' })
    const customerId = await created()
    await caller.post(`command/delete/${customerId}`)
    expectRefused(await caller.post(`command/delete/${customerId}`), `There is no customer ${customerId}`)
    expectRefused(await caller.post(`command/delete/${customerId}`, undefined, 'late'), 'There is no customer')
  })

  test('under an Idempotency-Key is answered as the first time', async () => {
    const [customerId, other] = [await created(), await created()]
    for (const _ of [1, 2]) {
      expect((await caller.post(`command/delete/${customerId}`, undefined, 'key 1')).status).toBe(200)
    }
    expectRefused(await caller.post(`command/delete/${customerId}`, undefined, 'key 2'), 'There is no customer')
    expect((await caller.post(`command/delete/${other}`, undefined, 'key 1')).status).toBe(200)
  })
})

describe('the queries', () => {
  test('refuse a customer that never was, whatever it is called', async () => {
    for (const path of ['query/', 'query/event/']) {
      for (const name of ['nobody', crypto.randomUUID(), 'a%2fb', '%ff', '%00', 'x'.repeat(201)]) {
        expectRefused(await caller.get(`${path}${name}`), /customer/)
      }
    }
  })

  test('alive says that the server is', async () => {
    const { status, body } = await caller.get('query/alive')
    expect([status, body]).toEqual([200, { alive: true }])
  })
})

describe('what went wrong here', () => {
  test('is told by its id alone, and logged; an amendment answers 400 to that too, as it is published', async () => {
    await caller.store.close()
    for (const [path, status] of [
      ['command/createPerson', 500],
      ['command/amendPerson', 400],
    ] as const) {
      const answer = await caller.post(path, { customerId: 'x', version: 1 })
      const requestId = answer.body?.['requestId']
      const message = `Something went wrong here; it was logged under ${requestId}`
      expect([answer.status, answer.body]).toEqual([status, { message, requestId, details: null }])
      expect(caller.logged.at(-1)).toMatchObject({ requestId, path: `/customer/v1/${path}` })
    }
  })
})

describe('every other request', () => {
  test('to an unknown path is 404, by another method 405, each with a body', async () => {
    const nothing = await caller.post('command/nothing')
    expect([nothing.status, nothing.body?.['details']]).toEqual([404, null])
    for (const { method, path } of routes) {
      const answer = await caller.send('PUT', path.replace('{customerId}', 'x'))
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, method === 'GET' ? 'GET, HEAD' : 'POST'])
      expect(answer.body?.['requestId']).toBe(answer.headers.get('x-request-id'))
    }
  })

  test('to the root leads to the interactive page, which loads nothing from elsewhere', async () => {
    const root = await caller.get('/')
    expect([root.status, root.headers.get('location')]).toEqual([302, '/openapi/'])
    for (const [file, type] of [
      ['', 'text/html'],
      ['openapi.js', 'text/javascript'],
      ['swagger-ui.css', 'text/css'],
      ['swagger-ui-bundle.js', 'text/javascript'],
    ] as const) {
      const { status, headers } = await caller.get(`/openapi/${file}`)
      expect([status, headers.get('content-type')?.split(';')[0]]).toEqual([200, type])
    }
  })
})

describe('the OpenAPI document', () => {
  const document = openApiDocument(application) as { readonly openapi: string; readonly paths: object }

  test('is served, in version 3.1, and has every route', async () => {
    expect((await caller.get('/openapi/openapi-spec.json')).body).toEqual(document)
    expect(document.openapi).toBe('3.1.0')
    expect(Object.keys(document.paths)).toEqual(routes.map(({ path }) => path))
  })

  test('has examples that are by its own schemas, and work', async () => {
    const ajv = ajvFormats.default(new Ajv2020({ strict: false }))
    const check = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      if ('schema' in value && 'example' in value) {
        expect(ajv.validate(value.schema as object, value.example), ajv.errorsText()).toBe(true)
      }
      for (const inner of Object.values(value)) check(inner)
    }
    check(document.paths)
    for (const { path, body } of routes.filter(({ path }) => path.includes('create'))) {
      expect((await caller.post(path, body?.example)).status).toBe(200)
    }
  })
})
