/** Jobs, schedules, consumers, snapshots and event types over HTTP: what the client does not show, and what is refused. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { openStore, type Store } from '../core/store.ts'
import type { StoreOptions } from '../core/store-options.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createApp } from './app.ts'
import { asking } from './fixtures/asking.ts'

const stores: Store[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

async function open(options: StoreOptions = {}) {
  const store = await openStore(memoryStorage(), options)
  stores.push(store)
  const app = createApp({ store, version: '0.0.0' })
  const { ask, send } = await asking(app)
  const get = (path: string) => send('GET', path)
  const refused = async (method: string, path: string, field: string, body?: unknown) => {
    const { status, body: problem } = await send(method, path, body)
    expect([status, Object.keys(problem.details?.messages ?? {})], `${path} ${JSON.stringify(body)}`).toEqual([
      400,
      [field],
    ])
  }
  const kindOf = async (method: string, path: string, body?: unknown) => {
    const { status, body: problem } = await send(method, path, body)
    return `${status} ${problem.type}`.replace('urn:daybook:problem:', '')
  }
  return { store, ask, send, get, refused, kindOf }
}

describe('jobs', () => {
  test('are added once, by their key or by the key of the request', async () => {
    const { send, get } = await open()
    const first = await send('POST', '/jobs', { kind: 'mail', key: 'order/17', input: { to: 'ann' }, delayMs: 60_000 })
    expect(first.body).toMatchObject({ job: { id: 'mail/order/17', state: 'waiting', tries: 0 }, repeated: false })
    expect((await send('POST', '/jobs', { kind: 'mail', key: 'order/17' })).body.repeated).toBe(true)
    const key = { 'idempotency-key': 'k' }
    const keyed = await send('POST', '/jobs', { kind: 'mail', at: '2999-01-01T00:00:00Z' }, key)
    expect((await send('POST', '/jobs', { kind: 'mail' }, key)).body).toEqual({ ...keyed.body, repeated: true })
    expect((await get('/jobs?state=waiting&kind=mail')).body.jobs.length).toBe(2)
    expect((await get('/jobs/mail/order%2F17')).body.input).toEqual({ to: 'ann' })
    expect((await send('DELETE', '/jobs/mail/order%2F17')).body).toEqual({ removed: 'mail/order/17' })
    const page = (await get('/jobs?limit=1')).body
    expect([page.jobs.length, page.next]).toEqual([1, expect.any(String)])
  })

  test('that are parked are tried again on demand', async () => {
    const { store, send, get, kindOf } = await open()
    let broken = true
    store.jobs.work({
      mail: async () => {
        if (broken) throw new Error('no mail today')
        return { result: 'sent' }
      },
    })
    await send('POST', '/jobs', { kind: 'mail', key: 'a', tries: 1 })
    await vi.waitFor(async () => expect((await get('/jobs/mail/a')).body.state).toBe('parked'), 10_000)
    expect((await get('/jobs/mail/a')).body.error).toMatchObject({ name: 'Error', message: 'no mail today' })
    broken = false
    expect((await send('POST', '/jobs/mail/a/retry')).body).toMatchObject({ state: 'waiting', tries: 0 })
    await vi.waitFor(async () => expect((await get('/jobs/mail/a')).body.state).toBe('done'), 10_000)
    expect((await get('/jobs/mail/a')).body.result).toBe('sent')
    expect(await kindOf('POST', '/jobs/mail/a/retry')).toBe('409 job-not-parked')
    expect(await kindOf('GET', '/jobs/mail/b')).toBe('404 job-not-found')
    expect(await kindOf('DELETE', '/jobs/mail/b')).toBe('404 job-not-found')
    expect(await kindOf('POST', '/jobs/mail/b/retry')).toBe('404 job-not-found')
  })

  test('that make no sense are refused, and none is added', async () => {
    const { refused, get } = await open()
    await refused('POST', '/jobs', 'kind', {})
    await refused('POST', '/jobs', 'kind', { kind: '$forget' })
    await refused('POST', '/jobs', 'key', { kind: 'mail', key: '' })
    await refused('POST', '/jobs', 'tries', { kind: 'mail', tries: 0 })
    await refused('POST', '/jobs', 'delayMs', { kind: 'mail', delayMs: -1 })
    await refused('POST', '/jobs', 'at', { kind: 'mail', at: 'soon' })
    await refused('POST', '/jobs', 'at', { kind: 'mail', at: '2999-01-01T00:00:00Z', delayMs: 1 })
    await refused('POST', '/jobs', 'streams[0]', { kind: 'mail', streams: ['x'] })
    await refused('POST', '/jobs', 'requestBody', { kind: 'mail', delay: 1 })
    await refused('GET', '/jobs?state=lost', 'state')
    await refused('GET', '/jobs?cursor=nowhere', 'cursor')
    expect((await get('/jobs')).body).toEqual({ jobs: [] })
  })

  test('come again and again by a schedule', async () => {
    const { send, get, refused } = await open()
    const monthly = { cron: '30 2 1 * *', kind: 'report', input: 'all' }
    const { body } = await send('PUT', '/schedules/monthly', monthly)
    expect(body).toEqual({ name: 'monthly', ...monthly, nextAt: expect.stringMatching(/-01T02:30:00.000Z$/) })
    expect((await get('/schedules')).body.schedules).toEqual([body])
    await refused('PUT', '/schedules/x', 'cron', { ...monthly, cron: 'often' })
    await refused('PUT', '/schedules/x', 'kind', { ...monthly, kind: '' })
    expect((await send('DELETE', '/schedules/monthly')).body).toEqual({ removed: 'monthly' })
    expect((await get('/schedules')).body.schedules).toEqual([])
  })
})

describe('consumers', () => {
  test('tell what they are at, wait, go on, begin anew and go', async () => {
    const { store, send, get, kindOf, refused } = await open()
    await store.append('seat/1', [{ type: 'Reserved' }, { type: 'Paid' }])
    const seen: number[] = []
    const consumer = await store.consumers.run({
      ...{ name: 'mails', streamTypes: ['seat'], tries: 1 },
      handler: async (event) => {
        seen.push(event.revision)
        if (!event.forgotten && event.type === 'Paid') throw new Error('no mail today')
      },
    })
    await consumer.whenCaughtUp()
    const { consumers } = (await get('/consumers')).body
    expect(consumers).toMatchObject([{ name: 'mails', state: 'running', position: 2, lag: 0, parked: 1 }])
    expect((await get('/consumers/mails')).body.streamTypes).toEqual(['seat'])
    const { parked } = (await get('/consumers/mails/parked')).body
    expect(parked).toMatchObject([{ item: 'seat/1', revision: 2, tries: 1, error: { message: 'no mail today' } }])
    expect((await send('POST', '/consumers/mails/replay-parked', { stream: 'seat/1' })).body).toEqual({ asked: 1 })
    expect((await send('POST', '/consumers/mails/replay-parked', { stream: 'seat/2' })).body).toEqual({ asked: 0 })
    await vi.waitFor(() => expect(seen).toEqual([1, 2, 2]), 10_000)
    expect((await send('POST', '/consumers/mails/pause')).body.state).toBe('paused')
    expect((await send('POST', '/consumers/mails/reset', { from: 1 })).body).toMatchObject({ position: 1, parked: 0 })
    await refused('POST', '/consumers/mails/reset', 'from', {})
    await refused('POST', '/consumers/mails/reset', 'from', { from: -1 })
    expect(await kindOf('POST', '/consumers/mails/reset', { from: 9 })).toBe('409 position-beyond-head')
    expect((await send('POST', '/consumers/mails/resume')).body.state).not.toBe('paused')
    await vi.waitFor(() => expect(seen).toEqual([1, 2, 2, 2]), 10_000)
    await consumer.stop()
    expect((await send('DELETE', '/consumers/mails')).body).toEqual({ removed: 'mails' })
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/parked'],
      ['POST', '/pause'],
      ['POST', '/resume'],
      ['POST', '/replay-parked'],
      ['DELETE', ''],
    ] as const) {
      expect(await kindOf(method, `/consumers/mails${path}`), path).toBe('404 consumer-not-found')
    }
    await refused('GET', '/consumers/a%20b', 'consumer')
  })
})

describe('snapshots', () => {
  const counter = {
    initialState: () => 0,
    evolve: (count: number) => count + 1,
    snapshot: { name: 'counter', version: 1 },
  }

  test('are taken by a decider that the server has, listed, and dropped', async () => {
    const { store, ask, send, get, refused, kindOf } = await open({ deciders: [counter] })
    for (const id of [1, 2, 3]) await store.append(`seat/${id}`, [{ type: 'Reserved' }])
    const one = { decider: 'counter', version: 1, stream: 'seat/1', revision: 1 }
    expect((await send('POST', '/snapshots', { decider: 'counter', stream: 'seat/1' })).body).toMatchObject(one)
    const all = { decider: 'counter', streamType: 'seat' }
    expect((await send('POST', '/snapshots/take-all', all)).body).toEqual({ streams: 3, taken: 2 })
    const response = await ask('POST', '/snapshots/take-all', all, { accept: 'application/x-ndjson' })
    expect(await response.text()).toBe('{"result":{"streams":3,"taken":0}}\n')
    expect((await get('/snapshots?stream=seat/1')).body.snapshots).toMatchObject([one])
    const page = (await get('/snapshots?decider=counter&limit=2')).body
    expect([page.snapshots.length, page.next]).toEqual([2, expect.any(String)])
    expect((await send('DELETE', '/snapshots?decider=counter&stream=seat/1')).body).toEqual({ dropped: 1 })
    expect((await send('DELETE', '/snapshots?decider=counter')).body).toEqual({ dropped: 2 })
    await refused('DELETE', '/snapshots', 'decider')
    await refused('GET', '/snapshots', 'options')
    await refused('POST', '/snapshots', 'decider', { decider: 'other', stream: 'seat/1' })
    await refused('POST', '/snapshots', 'stream', { decider: 'counter', stream: 'seat' })
    expect(await kindOf('POST', '/snapshots', { decider: 'counter', stream: 'seat/9' })).toBe('404 stream-not-found')
  })
})

describe('event types', () => {
  const schema = { type: 'object', properties: { by: { type: 'string' } }, required: ['by'] }

  test('are declared, hold for whoever writes, come in versions, and are retired', async () => {
    const { send, get, refused, kindOf } = await open()
    const declared = { type: 'Reserved', version: 1, versions: [{ version: 1, schema }], retired: false }
    for (const _ of ['the first time', 'a repeat']) {
      expect((await send('PUT', '/event-types/Reserved', { version: 1, schema })).body).toEqual(declared)
    }
    expect(await kindOf('POST', '/streams/seat/1/events', { events: [{ type: 'Reserved' }] })).toBe(
      '400 schema-violation',
    )
    expect((await get('/event-types')).body.eventTypes).toEqual([declared])
    expect((await get('/event-types/Reserved')).body).toEqual(declared)
    const upcast = [{ default: '/row', value: 1 }]
    const second = { version: 2, schema: { ...schema, required: ['by', 'row'] }, upcast }
    expect((await send('PUT', '/event-types/Reserved', second)).body.version).toBe(2)
    expect((await send('POST', '/event-types/Reserved/retire')).body.retired).toBe(true)
    expect(await kindOf('PUT', '/event-types/Reserved', { version: 1, schema: true })).toBe('409 definition-clash')
    expect(await kindOf('GET', '/event-types/Paid')).toBe('404 event-type-not-found')
    expect(await kindOf('POST', '/event-types/Paid/retire')).toBe('404 event-type-not-found')
    await refused('PUT', '/event-types/Reserved', 'version', { version: 4, schema })
    await refused('PUT', '/event-types/Reserved', 'schema', { version: 3 })
    await refused('PUT', '/event-types/Reserved', 'upcast', { version: 3, schema: { ...schema, required: ['at'] } })
    await refused('PUT', '/event-types/Reserved', 'upcast[0]', { version: 3, schema, upcast: [{ rename: '/by' }] })
    await refused('PUT', '/event-types/$mine', 'eventType', { version: 1, schema })
    await refused('PUT', '/event-types/Paid', 'streamTypes[0]', { version: 1, schema, streamTypes: ['a b'] })
    await refused('PUT', '/event-types/Paid', 'schema.type', { version: 1, schema: { type: 'text' } })
  })
})
