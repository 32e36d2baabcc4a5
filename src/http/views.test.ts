/** Views, projections and replays over HTTP: what the client does not show, and what is refused with what would mend it. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { EventOf } from '../core/event.ts'
import { projection } from '../core/projection.ts'
import { openStore, type Store } from '../core/store.ts'
import type { StoreOptions } from '../core/store-options.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createApp } from './app.ts'
import { asking } from './fixtures/asking.ts'

type AdEvent = EventOf<{ Published: { title: string; city: string; price: number }; Repriced: { price: number } }>
interface Ad {
  readonly title: string
  readonly city: string
  readonly price: number
}
const ads = projection<AdEvent, Ad>()({
  name: 'ads',
  lifecycle: 'inline',
  streamTypes: ['ad'],
  on: { Published: (_, { data }) => data, Repriced: (ad, { data }) => ad && { ...ad, price: data.price } },
  indexes: [{ name: 'by-city', equals: ['city'], order: 'price' }],
  search: ['title'],
})
const later = { ...ads, name: 'later', lifecycle: 'async' as const }
/** Of the second version, in the words of another country. */
const second = projection<AdEvent, Ad>()({
  ...ads,
  version: 2,
  on: { ...ads.on, Published: (_, { data }) => ({ ...data, city: data.city.toUpperCase() }) },
})
const picky = projection<AdEvent, Ad>()({
  name: 'picky',
  lifecycle: 'async',
  streamTypes: ['ad'],
  on: {
    Published(_, { data }) {
      if (data.price === 20) throw new Error('no price is 20')
      return data
    },
  },
})

const bike = { title: 'Bike 7', city: 'Bern', price: 70 }
const stores: Store[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

async function open(options: StoreOptions = {}, before: StoreOptions = {}) {
  let now = Date.parse('2026-01-31T09:30:00.000Z')
  const storage = { ...memoryStorage({ clock: () => now }), async close() {} }
  // As an earlier process has left it.
  const earlier = await openStore(storage, { clock: () => now, ...before })
  if (before.projections) await earlier.append<AdEvent>('ad/7', [{ type: 'Published', data: bike }])
  await earlier.close()
  const store = await openStore(storage, { projections: [ads, later], clock: () => now, ...options })
  stores.push(store)
  const stopping = new AbortController()
  const errors: object[] = []
  const log = { info() {}, error: (facts: object) => errors.push(facts) }
  const app = createApp({ store, version: '0.0.0', log, closing: stopping.signal })
  const { ask, send } = await asking(app)
  const get = (path: string, headers = {}) => send('GET', path, undefined, headers)
  const refused = async (path: string, field: string) => {
    const { status, body } = await get(path)
    expect([status, Object.keys(body.details?.messages ?? {})], path).toEqual([400, [field]])
    return body.message
  }
  const tick = () => {
    now += 1_000
  }
  const publish = (id: number) =>
    store.append<AdEvent>(`ad/${id}`, [
      { type: 'Published', data: { title: `Bike ${id}`, city: id % 2 ? 'Bern' : 'Basel', price: 10 * id } },
    ])
  return { store, ask, send, get, refused, tick, publish, stopping, errors }
}

const lines = { accept: 'application/x-ndjson' }
const linesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('a view', () => {
  test('is read by its id, and as it was at a revision or an instant; where there is none it is 404', async () => {
    const { store, get, refused, tick, publish } = await open()
    await publish(1)
    tick()
    await store.append('ad/1', [{ type: 'Repriced', data: { price: 11 } }])
    const price = async (query: string) => (await get(`/views/ads/1${query}`)).body.view.price
    expect((await get('/views/ads/1')).body).toEqual({ id: '1', view: { title: 'Bike 1', city: 'Bern', price: 11 } })
    expect(await price('?at=1')).toBe(10)
    expect(await price('?at=2026-01-31T09:30:00.500Z')).toBe(10)
    expect(await price('?from=1&at=2')).toBe(11)
    const none = await get('/views/ads/2')
    expect([none.status, none.body.type]).toEqual([404, 'urn:daybook:problem:view-not-found'])
    const unknown = await get('/views/adverts/1')
    expect([unknown.status, unknown.body.projection]).toEqual([404, 'adverts'])
    expect(unknown.body.message).toContain('ads')
    await refused('/views/ads/1?at=3', 'at')
    await refused('/views/ads/1?at=0', 'at')
    await refused('/views/ads/1?at=-1', 'at')
    await refused('/views/ads/1?at=soon', 'at')
    expect(await refused('/views/ads/1?at=2026-01-31T09:29:59Z', 'at')).toContain('before the first event')
    expect(await refused('/views/ads/1?at=2027-01-01T00:00:00Z', 'at')).toContain('yet to come')
    await refused('/views/ads/1?from=2&at=1', 'from')
    await refused('/views/$ads/1', 'view')
  })

  test('waits for what its reader has seen recorded, by a header; and says so when that takes too long', async () => {
    const { store, get, publish } = await open()
    const { revision } = await publish(1)
    const after = { 'daybook-after': `ad/1@${revision}` }
    const behind = await get('/views/later/1', { ...after, 'daybook-timeout-ms': '10' })
    // Nobody runs it, so that it was never built.
    expect([behind.status, behind.body.type]).toEqual([503, 'urn:daybook:problem:view-behind'])
    expect(behind.body).toMatchObject({ projection: 'later', stream: 'ad/1', revision: 1 })
    store.projections.start()
    expect((await get('/views/later/1', after)).body.view.price).toBe(10)
    await store.append('ad/é @1', [{ type: 'Published', data: { title: 'x', city: 'y', price: 1 } }])
    expect((await get('/views/later/%C3%A9%20%401', { 'daybook-after': 'ad/%C3%A9%20@1@1' })).body.view.price).toBe(1)
    for (const bad of ['ad/1', 'ad@1', 'ad/1@x', 'ad/%@1', '@1']) {
      const { status, body } = await get('/views/later/1', { 'daybook-after': bad })
      expect([status, Object.keys(body.details.messages)], bad).toEqual([400, ['Daybook-After']])
    }
    expect((await get('/views/later/1', { 'daybook-after': 'ad/1@9' })).status).toBe(400)
    expect((await get('/views/later/1', { ...after, 'daybook-timeout-ms': '600001' })).status).toBe(400)
  })

  test('is found by an index, whose values are JSON, page by page; or by words', async () => {
    const { get, publish } = await open()
    for (const id of [1, 2, 3, 5]) await publish(id)
    const found = async (query: Record<string, string>) => {
      const { status, body } = await get(`/views/ads?${new URLSearchParams(query)}`)
      expect([status, body.message]).toEqual([200, undefined])
      return body.views.map(({ id }: { id: string }) => id)
    }
    const bern = { equals: '{"city":"Bern"}' }
    expect(await found({ index: 'by-city', ...bern })).toEqual(['1', '3', '5'])
    expect(await found({ ...bern, from: '30', to: '50', direction: 'backwards' })).toEqual(['5', '3'])
    expect(await found({ text: 'bike 3' })).toEqual(['3'])
    const first = (await get(`/views/ads?${new URLSearchParams({ ...bern, limit: '2' })}`)).body
    expect(await found({ ...bern, limit: '2', cursor: first.next })).toEqual(['5'])
  })

  test('is not found by what no index serves: each is refused by the name of its parameter', async () => {
    const { get, refused, publish } = await open()
    for (const id of [1, 3]) await publish(id)
    const bern = 'equals={"city":"Bern"}'
    expect(await refused(`/views/ads?index=by-town&${bern}`, 'index')).toContain('by-city')
    expect(await refused('/views/ads?equals={"town":"Bern"}', 'equals.town')).toContain('city')
    await refused('/views/ads?equals=Bern', 'equals')
    await refused('/views/ads?equals={"city":"Bern","city":"Basel"}', 'equals.city')
    await refused('/views/ads?equals=["Bern"]', 'equals')
    await refused('/views/ads?equals={"city":["Bern"]}', 'equals.city')
    expect(await refused(`/views/ads?${bern}&from=ten`, 'from')).toContain('in quotes')
    await refused(`/views/ads?${bern}&from=null`, 'from')
    await refused(`/views/ads?${bern}&direction=up`, 'direction')
    await refused(`/views/ads?${bern}&limit=0`, 'limit')
    await refused(`/views/ads?text=bike&${bern}`, 'equals')
    await refused('/views/ads?text=', 'text')
    const { next } = (await get(`/views/ads?${bern}&limit=1`)).body
    expect(next).toBeDefined()
    await refused(`/views/ads?equals={"city":"Basel"}&cursor=${encodeURIComponent(next)}`, 'cursor')
    await refused(`/views/ads?text=bike&cursor=${encodeURIComponent(next)}`, 'cursor')
    expect((await get('/views/adverts?text=bike')).status).toBe(404)
  })
})

describe('projections', () => {
  test('tell what they are at, pause and go on', async () => {
    const { store, send, get, publish } = await open()
    store.projections.start()
    const { revision } = await publish(1)
    await get('/views/later/1', { 'daybook-after': `ad/1@${revision}` })
    const { projections } = (await get('/projections')).body
    expect(projections.map(({ name }: { name: string }) => name)).toEqual(['ads', 'later'])
    expect((await get('/projections/later')).body).toMatchObject({
      ...{ name: 'later', version: 1, lifecycle: 'async', state: 'active', lag: 0, parked: 0, paused: false, reads: 1 },
      ...{ head: 1, running: { here: true } },
    })
    expect((await send('POST', '/projections/later/pause')).body.paused).toBe(true)
    await publish(3)
    expect((await get('/projections/later')).body.lag).toBe(1)
    expect((await send('POST', '/projections/later/resume')).body.paused).toBe(false)
    for (const action of ['pause', 'resume', 'rebuild', 'switch', 'roll-back', 'replay-parked']) {
      const { status, body } = await send('POST', `/projections/nobody/${action}`)
      expect([status, body.type], action).toEqual([404, 'urn:daybook:problem:projection-not-found'])
    }
  })

  test('are built anew while their progress comes as lines, switched, rolled back and dropped', async () => {
    const { send, ask, get } = await open({ projections: [ads, second] }, { projections: [ads] })
    const city = async () => (await get('/views/ads/7')).body.view.city
    const built = (await send('POST', '/projections/ads/rebuild', { switch: 'by-hand' })).body
    expect([built.reads, await city()]).toEqual([1, 'Bern'])
    expect((await send('POST', '/projections/ads/switch', { version: 2 })).body).toMatchObject({ reads: 2, before: 1 })
    expect(await city()).toBe('BERN')
    for (const _ of ['the first time', 'a repeat']) {
      expect((await send('POST', '/projections/ads/roll-back', { to: 1 })).body).toMatchObject({ reads: 1, before: 2 })
    }
    expect((await send('POST', '/projections/ads/roll-back', { to: 3 })).body.details.messages).toHaveProperty('to')
    expect((await send('POST', '/projections/ads/roll-back')).body.reads).toBe(2)
    expect((await send('DELETE', '/projections/ads/versions/2')).status).toBe(400)
    expect((await send('DELETE', '/projections/ads/versions/1')).body).toEqual({ dropped: 1 })
    expect((await send('POST', '/projections/ads/roll-back')).status).toBe(400)
    expect((await send('POST', '/projections/ads/switch', { version: 3 })).body.details.messages).toHaveProperty(
      'version',
    )
    expect((await send('POST', '/projections/ads/rebuild', { version: 3 })).body.details.messages).toHaveProperty(
      'version',
    )
    expect((await send('POST', '/projections/ads/rebuild', { versions: 2 })).status).toBe(400)
    const response = await ask('POST', '/projections/ads/rebuild', {}, lines)
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-ndjson'])
    const told = linesOf(await response.text())
    expect(told.at(-1).result).toMatchObject({ name: 'ads', reads: 2, head: 1 })
    expect(told.length).toBeGreaterThan(1)
    for (const { progress } of told.slice(0, -1)) expect(progress).toMatchObject({ version: 2, of: 1 })
    const refused = await ask('POST', '/projections/nobody/rebuild', {}, lines)
    expect([refused.status, refused.headers.get('content-type')]).toEqual([404, 'application/problem+json'])
  })

  test('a rebuild whose caller goes away ends, and goes on where it was when it is asked for again', async () => {
    const { ask, get, send, store } = await open({ projections: [ads, second] }, { projections: [ads] })
    await store.projections.pause('ads')
    const response = await ask('POST', '/projections/ads/rebuild', {}, lines)
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    expect((await get('/projections/ads')).body.reads).toBe(1)
    await send('POST', '/projections/ads/resume')
    expect((await send('POST', '/projections/ads/rebuild')).body.reads).toBe(2)
  })

  test('show what is parked, and make it anew on demand', async () => {
    const { send, get, store, publish } = await open({ projections: [picky] })
    store.projections.start()
    for (const id of [1, 2]) await publish(id)
    await vi.waitFor(async () => expect((await get('/projections/picky')).body.parked).toBe(1), 10_000)
    const { parked } = (await get('/projections/picky/parked?limit=10')).body
    expect(parked).toMatchObject([{ key: '2', stream: 'ad/2', revision: 1, failure: { message: 'no price is 20' } }])
    const again = await send('POST', '/projections/picky/replay-parked', { key: '2' })
    expect(again.body).toEqual({ replayed: 0, parked: 1 })
    for (const failed of [
      await send('POST', '/projections/picky/rebuild', { key: '2' }),
      await send('POST', '/projections/picky/replay', { as: 'x' }),
      await get('/views/picky/2?at=1'),
    ]) {
      expect([failed.status, failed.body.projection, failed.body.stream]).toEqual([500, 'picky', 'ad/2'])
    }
  })
})

describe('what takes long', () => {
  const after = { 'daybook-after': 'ad/1@1', 'daybook-timeout-ms': '60000' }

  test('ends with store-closed when the server stops', async () => {
    const { ask, get, publish, store, stopping } = await open(
      { projections: [ads, second, later] },
      { projections: [ads] },
    )
    await publish(1)
    await store.projections.pause('ads')
    const reading = get('/views/later/1', after)
    const building = ask('POST', '/projections/ads/rebuild', {})
    const telling = await ask('POST', '/projections/ads/rebuild', {}, lines)
    stopping.abort()
    expect((await reading).body.type).toBe('urn:daybook:problem:store-closed')
    expect((await building).status).toBe(503)
    const told = linesOf(await telling.text())
    expect(told.at(-1).problem).toMatchObject({ type: 'urn:daybook:problem:store-closed', status: 503 })
  })

  test('ends when the client goes, which is no failure of the server', async () => {
    const { ask, publish, errors } = await open()
    await publish(1)
    const gone = new AbortController()
    const reading = ask('GET', '/views/later/1', undefined, after, gone.signal)
    gone.abort()
    expect((await reading).status).toBe(503)
    expect(errors).toEqual([])
  })
})

describe('a replay', () => {
  test('is kept under a label, listed, read as a view, and dropped; or put back into the view', async () => {
    const { store, send, get, ask, tick, publish } = await open()
    await publish(1)
    const at = '2026-01-31T09:30:00.000Z'
    tick()
    await store.append('ad/1', [{ type: 'Repriced', data: { price: 11 } }])
    const response = await ask('POST', '/projections/ads/replay', { at, as: 'before' }, lines)
    const told = linesOf(await response.text())
    expect(told.at(-1)).toEqual({ result: { view: 'ads~before', views: 1 } })
    expect(told[0]).toEqual({ progress: { position: 1, of: 2 } })
    expect((await get('/views/ads~before/1')).body.view.price).toBe(10)
    expect((await get('/views/ads~before?equals={"city":"Bern"}')).body.views.length).toBe(1)
    const { replays } = (await get('/projections/ads/replays')).body
    expect(replays).toEqual([{ name: 'ads', label: 'before', version: 1, at, state: 'done', views: 1 }])
    expect((await send('DELETE', '/projections/ads/replays/before')).body).toEqual({ dropped: 'before' })
    expect((await send('DELETE', '/projections/ads/replays/before')).status).toBe(400)
    expect((await get('/views/ads~before/1')).status).toBe(404)
    expect((await send('POST', '/projections/ads/replay', { id: '1', at: 1 })).body).toEqual({ view: 'ads', views: 1 })
    expect((await get('/views/ads/1')).body.view.price).toBe(10)
    for (const [body, field] of [
      [{ at: '2027-01-01T00:00:00Z', as: 'x' }, 'at'],
      [{ at: '2026-01-01T00:00:00Z', as: 'x' }, 'at'],
      [{ at: 1, as: 'x' }, 'at'],
      [{ at: {}, as: 'x' }, 'at'],
      [{ at }, 'id'],
      [{ as: 'a~b' }, 'as'],
    ] as const) {
      const { status, body: problem } = await send('POST', '/projections/ads/replay', body)
      expect([status, Object.keys(problem.details.messages)], JSON.stringify(body)).toEqual([400, [field]])
    }
  })
})
