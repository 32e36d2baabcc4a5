/** What the client does about views and work beside keeping the store's promises: lost answers, waiting, what cannot be sent. */
import pino from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { until } from '../../conformance/store/kit.ts'
import type { EventOf } from '../../core/event.ts'
import { projection } from '../../core/projection.ts'
import { openStore, type StoreOptions } from '../../core/store.ts'
import { serve } from '../../hosts/node.ts'
import { memoryStorage } from '../../storage/memory/storage.ts'
import { type ClientOptions, createClient } from '../client.ts'

type CounterEvent = EventOf<{ Added: { by: number } }>
const counters = projection<CounterEvent, { sum: number }>()({
  name: 'counters',
  lifecycle: 'inline',
  streamTypes: ['counter'],
  on: { Added: (view = { sum: 0 }, { data }) => ({ sum: view.sum + data.by }) },
})
const later = { ...counters, name: 'later', lifecycle: 'async' as const }
const second = { ...counters, version: 2 }
const added = (by: number) => [{ type: 'Added', data: { by } }]

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Three events are there from the beginning. `sent`: what the client has sent, as "POST /jobs". */
async function open(options: Partial<ClientOptions> = {}, more: StoreOptions = {}) {
  const storage = { ...memoryStorage(), async close() {} }
  const before = await openStore(storage, { projections: [counters] })
  for (const by of [1, 2, 3]) await before.append('counter/1', added(by))
  await before.close()
  const store = await openStore(storage, { projections: [counters, later], ...more })
  const server = await serve({ store, port: 0, logger: pino({ level: 'silent' }) })
  const sent: string[] = []
  const losing: ((response: Response) => Promise<Response>)[] = []
  const client = createClient({
    ...{ url: server.url, ...options },
    async fetch(address, init) {
      const name = `${init?.method} ${new URL(String(address)).pathname}`
      sent.push(name)
      const response = await fetch(address, init)
      const lose = name.startsWith('GET') ? undefined : losing.shift()
      return lose ? lose(response) : response
    },
  })
  closers.push(
    () => store.close(),
    () => server.close(),
    () => client.close(),
  )
  return { store, client, sent, losing }
}

/** What it says is never heard. */
async function lost(response: Response): Promise<Response> {
  await response.text()
  throw new TypeError('the connection broke')
}

/** Only its first line is. */
async function cutOff(response: Response): Promise<Response> {
  const [first = ''] = (await response.text()).split('\n')
  return new Response(`${first}\n`, { headers: response.headers })
}

describe('an answer that is lost', () => {
  test('leaves what was added, removed or tried again done once', async () => {
    const { store, client, losing } = await open()
    losing.push(lost)
    const { job, repeated } = await client.jobs.add('mail')
    expect([repeated, (await store.jobs.list()).jobs.map(({ id }) => id)]).toEqual([true, [job.id]])
    losing.push(lost)
    await client.jobs.remove(job.id)
    await expect(client.jobs.remove(job.id)).rejects.toMatchObject({ code: 'job-not-found' })
    const worker = store.jobs.work({
      async mail() {
        throw new Error('no mail today')
      },
    })
    await client.jobs.add('mail', { key: 'a', tries: 1 })
    await until(async () => (await client.jobs.get('mail/a'))?.state === 'parked')
    await worker.stop()
    losing.push(lost)
    expect(await client.jobs.retry('mail/a')).toMatchObject({ id: 'mail/a', state: 'waiting' })
    const consumer = await store.consumers.run({ name: 'mails', handler: async () => {} })
    await consumer.stop()
    losing.push(lost)
    await client.consumers.remove('mails')
    await expect(client.consumers.remove('mails')).rejects.toMatchObject({ code: 'consumer-not-found' })
  })

  test('leaves a switch and a roll-back as they are, and drops no version but the one that was meant', async () => {
    const { client, losing } = await open({}, { projections: [counters, second] })
    await client.projections.rebuild('counters', { switch: 'by-hand' })
    losing.push(lost)
    expect((await client.projections.switch('counters')).reads).toBe(2)
    losing.push(lost)
    expect((await client.projections.rollBack('counters')).reads).toBe(1)
    await client.projections.rollBack('counters')
    losing.push(lost)
    await client.projections.drop('counters')
    const { versions } = await client.projections.status('counters')
    expect(versions.map(({ version }) => version)).toEqual([2])
    await expect(client.projections.drop('counters', { version: 1 })).rejects.toMatchObject({ path: 'version' })
  })

  test('of a rebuild that was done builds nothing again; one that was not begun is begun again', async () => {
    const { client, sent, losing } = await open({}, { projections: [counters, second] })
    const told: unknown[] = []
    losing.push(cutOff)
    const status = await client.projections.rebuild('counters', { onProgress: (progress) => told.push(progress) })
    expect([status.reads, told[0]]).toEqual([2, { version: 2, position: expect.any(Number), of: 3 }])
    const rebuilds = () => sent.filter((name) => name === 'POST /projections/counters/rebuild').length
    expect(rebuilds()).toBe(1)
    losing.push(lost)
    expect((await client.projections.rebuild('counters')).reads).toBe(2)
    expect(rebuilds()).toBe(3)
  })

  test('of a replay under a label is found again; one that puts a view back is not sent again', async () => {
    const { client, store, sent, losing } = await open()
    losing.push(lost)
    expect(await client.projections.replay(counters, { as: 'before' })).toEqual({ view: 'counters~before', views: 1 })
    expect(sent.filter((name) => name.endsWith('/replay')).length).toBe(1)
    losing.push(lost)
    await client.projections.dropReplay(counters, 'before')
    losing.push(lost)
    await expect(client.projections.replay(counters, { id: '1', at: 1 })).rejects.toMatchObject({
      code: 'server-unreachable',
    })
    await store.append('counter/1', added(10))
    expect(await client.views.get(counters, '1')).toEqual({ sum: 11 })
  })
})

describe('waiting', () => {
  test('for an event in a view may take longer than a try may', async () => {
    const { client, store } = await open({ timeoutMs: 200, tries: 1 })
    await client.projections.rebuild('later')
    const { revision } = await client.append('counter/1', added(4))
    const after = { stream: 'counter/1', revision }
    const reading = client.views.get('later', '1', { after, timeoutMs: 10_000 })
    await new Promise((resolve) => setTimeout(resolve, 400))
    store.projections.start()
    expect(await reading).toEqual({ sum: 10 })
    const behind = { code: 'view-behind', projection: 'later', stream: 'counter/1', revision: revision + 1 }
    await store.projections.pause('later')
    await client.append('counter/1', added(5))
    const next = { stream: 'counter/1', revision: revision + 1 }
    await expect(client.views.get('later', '1', { after: next, timeoutMs: 20 })).rejects.toMatchObject(behind)
  })

  test('ends when the caller aborts, with the reason of the caller, or when the client closes', async () => {
    const { client, store } = await open()
    store.projections.start()
    await client.projections.rebuild('later')
    await client.projections.pause('later')
    const { revision } = await client.append('counter/1', added(4))
    const ended = new AbortController()
    const after = { stream: 'counter/1', revision }
    const reading = client.views.get('later', '1', { after, signal: ended.signal })
    const building = client.projections.rebuild('counters', { signal: ended.signal })
    ended.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
    await expect(building).rejects.toThrow('enough')
    const closed = expect(client.projections.rebuild('counters')).rejects.toMatchObject({ code: 'store-closed' })
    await client.close()
    await closed
  })
})

test('what runs functions is refused, with what to do instead', async () => {
  const { client } = await open()
  const counter = { initialState: () => 0, evolve: () => 0, snapshot: { name: 'counter', version: 1 } }
  const refused = async (ability: string, act: () => unknown, instead: RegExp) => {
    const error = await (async () => act())().catch((error: Error) => error)
    expect(error).toMatchObject({ code: 'unsupported', ability })
    expect((error as Error).message).toMatch(instead)
  }
  await refused('jobs.work', () => client.jobs.work({}), /daybook serve/)
  await refused('consumers.run', () => client.consumers.run({ name: 'x', handler: async () => {} }), /subscribe\(\)/)
  await refused('consumers.consume', () => client.consumers.consume({ name: 'x' }), /subscribe\(\)/)
  await refused('projections.start', () => client.projections.start(), /daybook serve/)
  await refused('projections.run', () => client.projections.run('later'), /daybook serve/)
  await refused('snapshots', () => client.snapshots.take(counter, 'counter/1'), /give the name/)
  await refused('termMs', () => client.projections.rebuild('later', { termMs: 1_000 }), /leave it out/)
})

test('what no address can hold is refused before it is sent', async () => {
  const { client, sent } = await open()
  for (const id of ['', '.', '..', '\ud800']) {
    await expect(client.views.get('counters', id)).rejects.toMatchObject({ code: 'invalid-argument', path: 'id' })
  }
  await expect(client.views.get('counters', '1', { at: new Date(Number.NaN) })).rejects.toMatchObject({ path: 'at' })
  await expect(client.jobs.add('mail', { input: 1n })).rejects.toMatchObject({ code: 'invalid-argument' })
  await expect(client.eventTypes.get('')).rejects.toMatchObject({ path: 'type' })
  expect(await client.jobs.get('mail')).toBeUndefined()
  await expect(client.jobs.remove('mail')).rejects.toMatchObject({ code: 'job-not-found' })
  expect(sent).toEqual([])
  expect(await client.views.get('counters', 'a/b c%2F')).toBeUndefined()
})

test('snapshots are taken by deciders that the server has, by name', async () => {
  const counter = { initialState: () => 0, evolve: (n: number) => n + 1, snapshot: { name: 'counter', version: 1 } }
  const { client } = await open({}, { deciders: [counter] })
  const taken = await client.snapshots.take('counter', 'counter/1')
  expect(taken).toMatchObject({ decider: 'counter', version: 1, stream: 'counter/1', revision: 3 })
  expect(await client.snapshots.takeAll('counter', 'counter', { updatedAfter: new Date(0) })).toEqual({
    ...{ streams: 1, taken: 0 },
  })
  expect(await client.snapshots.list({ decider: 'counter' })).toEqual({ snapshots: [taken] })
  expect(await client.snapshots.drop({ decider: 'counter' })).toEqual({ dropped: 1 })
})
