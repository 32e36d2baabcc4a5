/** Races, rebuilding and forgetting, on every storage: the same promises on each. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Storage } from 'daybook'
import { limits } from 'daybook'
import type { OpenStorage } from 'daybook/conformance'
import { memoryStorage } from 'daybook/memory'
import { sqliteStorage } from 'daybook/sqlite'
import { describe, expect, onTestFinished, type TestContext, test, vi } from 'vitest'
import { missingDynamo } from '../../test/engines/dynamodb.ts'
import { missingPostgres } from '../../test/engines/postgres.ts'
import { dynamodb, memory, postgres, sqlite } from '../../test/engines/storages.ts'
import type { Answer, Caller } from '../web/caller.ts'
import { callerOf } from './caller.ts'
import { type CustomerEvent, customerStream } from './domain.ts'
import { customerViews } from './views.ts'

interface Engine {
  readonly open: () => OpenStorage
  readonly missing?: () => string | undefined
  /** At once. */
  readonly rivals: number
  /** Of one customer; a storage forgets up to 1,000 in a step. */
  readonly events: number
  /** Recorded together, of these. */
  readonly together: number
}

const engines: Readonly<Record<string, Engine>> = {
  memory: { open: memory, rivals: 16, events: 2_500, together: 1_000 },
  SQLite: { open: sqlite, rivals: 16, events: 2_500, together: 1_000 },
  PostgreSQL: { open: postgres, missing: missingPostgres, rivals: 16, events: 2_500, together: 1_000 },
  DynamoDB: { open: dynamodb, missing: missingDynamo, rivals: 6, events: 500, together: 20 },
}

const secret = 'Zanzibar Fletcher'
const person = { customerName: { surname: secret } }
const times = (count: number) => Array.from({ length: count }, (_, index) => index)
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).sort()

for (const [name, { open, missing, rivals, events, together }] of Object.entries(engines)) {
  const lack = missing?.()
  describe.skipIf(lack !== undefined)(`${name}${lack ? ` (${lack})` : ''}`, () => {
    const openStorage = open()
    const held = name === 'DynamoDB' ? test.concurrent : test

    /** Applications of one record, as several processes would run them; and the storage under the first. */
    async function start({ onTestFinished }: TestContext, clock: () => number = Date.now) {
      const setting = { name: `case-${crypto.randomUUID()}`, clock }
      const storage = await openStorage(setting)
      const callers = [await callerOf(storage, { clock }), await callerOf(await openStorage(setting), { clock })]
      onTestFinished(async () => {
        for (const { store } of callers) await store.close()
      })
      const [caller = callers[0] as Caller] = callers
      const one = (index: number) => callers[index % 2] ?? caller
      return { caller, one, storage }
    }
    const idOf = ({ body }: Answer) => String(body?.['customerId'])
    const created = async (caller: Caller) => idOf(await caller.post('command/createPerson', person))
    const eventsOf = async (caller: Caller, customerId: string) =>
      (await caller.get(`query/event/${customerId}`)).body?.['events'] as readonly Record<string, unknown>[]

    held('of amendments of one version at once exactly one wins, and all others are refused', async (context) => {
      const { caller, one } = await start(context)
      const customerId = await created(caller)
      const answers = await Promise.all(
        times(rivals).map((rival) =>
          one(rival).post('command/amendPerson', { customerId, version: 1, organisationName: `${rival}` }),
        ),
      )
      expect(statuses(answers)).toEqual([200, ...times(rivals - 1).map(() => 400)])
      const winner = answers.find(({ status }) => status === 200)
      expect((await caller.get(`query/${customerId}`)).body).toEqual(winner?.body)
      expect((await eventsOf(caller, customerId)).length).toBe(2)
    })

    held('a request that is repeated at once under one Idempotency-Key is done once', async (context) => {
      const { caller, one } = await start(context)
      const repeated = async (path: string, body: object, key: string) => {
        const answers = await Promise.all(times(rivals).map((index) => one(index).post(path, body, key)))
        for (const { status, body } of answers) expect([status, body]).toEqual([200, answers[0]?.body])
        return answers[0] as Answer
      }
      const customerId = idOf(await repeated('command/createPerson', person, 'key'))
      await repeated('command/amendPerson', { customerId, version: 1 }, 'key')
      expect((await eventsOf(caller, customerId)).length).toBe(2)
      const streams = await caller.store.streamsPage('customer')
      expect(streams.streams.map(({ stream }) => stream)).toEqual([customerStream(customerId)])
    })

    held('one Idempotency-Key for several requests at once is good for one of them', async (context) => {
      const { caller, one } = await start(context)
      const customers = await Promise.all(times(4).map(() => created(caller)))
      const answers = await Promise.all(
        customers.map((customerId, index) => one(index).post('command/amendPerson', { customerId, version: 1 }, 'key')),
      )
      expect(statuses(answers)).toEqual([200, 400, 400, 400])
      const late = await caller.post('command/amendPerson', { customerId: customers[0], version: 2 }, 'key')
      expect(late.status).toBe(400)
    })

    held(
      'an amendment at the same time as a deletion is recorded before it or refused, and leaves nothing',
      async (context) => {
        const { caller, one } = await start(context)
        const customerId = await created(caller)
        const amending = times(rivals).map(async (rival) => {
          const statuses: number[] = []
          for (const version of [1, 2, 3]) {
            statuses.push((await one(rival).post('command/amendPerson', { ...person, customerId, version })).status)
          }
          return statuses
        })
        const [deletion, ...amendments] = await Promise.all([one(1).post(`command/delete/${customerId}`), ...amending])
        expect(deletion.status).toBe(200)
        const won = amendments.flat().filter((status) => status === 200).length
        expect(new Set([200, 400, ...amendments.flat()])).toEqual(new Set([200, 400]))
        expect((await caller.store.details(customerStream(customerId)))?.revision).toBe(won + 2)
        expect((await caller.get(`query/${customerId}`)).status).toBe(400)
        expect((await eventsOf(caller, customerId)).map(({ eventName }) => eventName)).toEqual(['CustomerDeleteEvent'])
        expect((await one(1).post('command/amendPerson', { customerId, version: won + 1 })).status).toBe(400)
      },
    )

    held(
      'a customer is rebuilt as it was at an instant, also without its view, and not before or behind it',
      async (context) => {
        let now = Date.UTC(2026, 0, 31, 9, 30)
        const { caller, storage } = await start(context, () => now)
        const customerId = await created(caller)
        const first = (await caller.get(`query/${customerId}`)).body
        now += 10_000
        const second = (await caller.post('command/amendPerson', { customerId, version: 1 })).body
        now += 10_000
        const at = async (timestamp: string) => {
          const { status, body } = await caller.post('command/rebuild', { customerId, timestamp })
          return status === 200 ? body : status
        }
        const expectHistory = async () => {
          expect(await at('2026-01-31T09:29:59.999Z')).toBe(400)
          expect(await at('2026-01-31T09:30:00Z')).toEqual(first)
          expect(await at('2026-01-31T10:30:09.999999+01:00')).toEqual(first)
          expect(await at('2026-01-31T09:30:10.000Z')).toEqual(second)
          expect(await at('2027-01-01T00:00:00Z')).toEqual(second)
        }
        await expectHistory()
        expect((await caller.get(`query/${customerId}`)).body).toEqual(second)

        await storage.erase({ erase: 'collection', collection: 'customers@1' })
        expect((await caller.get(`query/${customerId}`)).status).toBe(400)
        await expectHistory()
        await caller.store.projections.replay(customerViews, { id: customerId, at: 2 })
        expect((await caller.get(`query/${customerId}`)).body).toEqual(second)

        await caller.post(`command/delete/${customerId}`)
        now += 10_000
        for (const timestamp of ['2026-01-31T09:30:00Z', '2026-01-31T09:30:10Z', '2026-01-31T09:30:30Z']) {
          expect(await at(timestamp)).toBe(400)
        }
      },
    )

    held(
      `a customer of ${events} events is forgotten in bounded steps, and leaves nothing but that it was`,
      async (context) => {
        const { caller, storage } = await start(context)
        const { customerId, keyed } = await withEvents(caller, { count: events, together })
        const steps: number[] = []
        const forgetting = await callerOf({
          ...storage,
          async erase(step) {
            const progress = await storage.erase(step)
            if (step.erase === 'events') steps.push(progress.erased)
            return progress
          },
          async close() {},
        })
        expect((await forgetting.post(`command/delete/${customerId}`)).status).toBe(200)
        await forgetting.store.close()
        expect(Math.max(...steps)).toBeLessThanOrEqual(limits.eraseRecords)
        expect(steps.length).toBeGreaterThanOrEqual(Math.ceil(events / limits.eraseRecords))

        expect((await caller.get(`query/${customerId}`)).status).toBe(400)
        const timestamp = new Date(Date.now() + 60_000).toISOString()
        expect((await caller.post('command/rebuild', { customerId, timestamp })).status).toBe(400)
        expect(await eventsOf(caller, customerId)).toEqual([
          {
            customerId,
            createTime: expect.any(String),
            eventId: expect.any(String),
            eventName: 'CustomerDeleteEvent',
            data: null,
          },
        ])
        await expectNoTrace(storage, caller, { customerId, requests: keyed, events })
      },
    )
  })
}

test('a deletion that fails half-way is ended when it is sent again under its key', async ({ onTestFinished }) => {
  const storage = memoryStorage()
  let failing = true
  const caller = await callerOf({
    ...storage,
    async erase(step) {
      if (failing && step.erase === 'documents') throw new Error('The disk is full')
      return storage.erase(step)
    },
  })
  onTestFinished(() => caller.store.close())
  const { customerId, keyed } = await withEvents(caller, { count: 10, together: 5 })
  const path = `command/delete/${customerId}`
  expect((await caller.post(path, undefined, 'key')).status).toBe(500)
  expect((await caller.get(`query/event/${customerId}`)).body?.['events']).toHaveLength(1)
  failing = false
  expect((await caller.post(path, undefined, 'key')).status).toBe(200)
  await expectNoTrace(storage, caller, { customerId, requests: keyed, events: 10 })
  expect((await caller.get(`query/${customerId}`)).status).toBe(400)
})

test('of a customer who was forgotten no byte is left in the file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-customer-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const caller = await callerOf(await sqliteStorage({ file: join(folder, 'record.db') }))
  const holds = (text: string) =>
    readdirSync(folder).some((name) => readFileSync(join(folder, name)).includes(Buffer.from(text)))
  const { customerId } = await withEvents(caller, { count: 500, together: 100 })
  expect(holds(secret)).toBe(true)
  expect((await caller.post(`command/delete/${customerId}`)).status).toBe(200)
  expect(holds(secret)).toBe(false)
  await caller.store.close()
  expect([holds(secret), holds(customerId)]).toEqual([false, true])
})

/** A customer with a long history: some of it by requests with keys, all other events as they would have been recorded. */
async function withEvents(caller: Caller, { count, together }: { readonly count: number; readonly together: number }) {
  const { body } = await caller.post('command/createPerson', person, 'create')
  const customerId = String(body?.['customerId'])
  for (const version of [1, 2, 3]) {
    await caller.post('command/amendPerson', { ...person, customerId, version }, `amend ${version}`)
  }
  const keyed: string[] = []
  for await (const { meta } of caller.store.read(customerStream(customerId))) keyed.push(String(meta?.['request']))
  for (let revision = keyed.length; revision < count; ) {
    const amendments = times(Math.min(together, count - revision)).map((index): CustomerEvent => {
      const data = { ...person, customerId, version: revision + index + 1 }
      return { type: 'PersonCustomerUpdatedEvent', data }
    })
    revision = (await caller.store.append(customerStream(customerId), amendments, { expected: revision })).revision
  }
  expect((await caller.get(`query/${customerId}`)).body).toEqual({ ...person, customerId, version: count })
  return { customerId, keyed }
}

/** Neither in the log nor in documents. */
async function expectNoTrace(
  storage: Storage,
  { store }: Caller,
  {
    customerId,
    requests,
    events,
  }: { readonly customerId: string; readonly requests: readonly string[]; readonly events: number },
): Promise<void> {
  // Where positions come later than events.
  await vi.waitFor(async () => expect((await store.info()).head).toBe(events + 1), 30_000)
  const entries = []
  for await (const entry of store.readLog()) entries.push(entry)
  expect(entries.slice(0, events).every(({ forgotten }) => forgotten)).toBe(true)
  expect(JSON.stringify(entries)).not.toContain(secret)
  expect(requests.length).toBe(4)
  const documents = await storage.getDocuments([
    { collection: 'customers@1', key: customerId },
    ...requests.map((key) => ({ collection: 'requests@1', key })),
  ])
  expect(documents.every((document) => document === undefined)).toBe(true)
  expect(await storage.erase({ erase: 'documents', stream: customerStream(customerId) })).toEqual({
    erased: 0,
    collections: [],
    done: true,
  })
}
