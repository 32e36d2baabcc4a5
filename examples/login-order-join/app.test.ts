/** The contract, route by route: what is answered, and each way to be refused. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, type Storage } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { folderObjects } from 'daybook/objects/folder'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openApiDocument } from '../web/openapi.ts'
import { loginOrderJoin } from './app.ts'
import { callerOf, created, type JoinCaller, loggedIn, ordered } from './caller.ts'
import { ingest } from './ingest.ts'
import { routesOf } from './routes.ts'
import { settingsOf } from './settings.ts'
import { takeSnapshot } from './upkeep.ts'
import { viewsOf } from './views.ts'

const t = Date.now() - 5_000
let caller: JoinCaller
beforeEach(async () => {
  caller = await callerOf(memoryStorage())
})
afterEach(() => caller.store.close())

const head = async () => (await caller.store.info()).head
const send = async (body: unknown) => {
  const { status, body: answer } = await caller.post('events', body)
  return [status, answer]
}
const counts = (recorded: number, repeated = 0, dropped = 0) => [200, { recorded, repeated, dropped }]
const refused = (message: string, details: unknown) => [400, { message, requestId: expect.any(String), details }]

describe('POST /events', () => {
  test('records one event, or an array of them, under the streams of their users', async () => {
    const order = { ...ordered('ann', t), order: { userId: 'ann', lines: [{ item: 'lamp' }] }, channel: 'web' }
    expect(await send(order)).toEqual(counts(1))
    expect(await send([created('ann', t), loggedIn('bob', t + 5)])).toEqual(counts(2))
    expect(await send([])).toEqual(counts(0))
    const { events } = await caller.store.readPage('user/ann')
    expect(events.map(({ type, data, meta }) => [type, data, meta])).toEqual([
      ['order-submitted', order, { occurredAt: new Date(t).toISOString() }],
      ['user-created', expect.anything(), expect.anything()],
    ])
    expect((await caller.store.details('user/bob'))?.revision).toBe(1)
  })

  test('records each event once, however often it comes, and completes what was broken off', async () => {
    const events = Array.from({ length: 70 }, (_, index) => ordered(index < 50 ? 'ann' : 'bob', t + index))
    expect(await send(events.slice(0, 33))).toEqual(counts(33))
    expect(await send(events)).toEqual(counts(37, 33))
    expect(await send([...events, ...events])).toEqual(counts(0, 140))
    expect(await send([ordered('ann', t), events[3], loggedIn('ann', t)])).toEqual(counts(2, 1))
    expect(await caller.user('ann')).toMatchObject({ recentOrderCount: 51 })
    expect(await caller.user('bob')).toMatchObject({ recentOrderCount: 20 })
  })

  test('records a long request in order, and each of its events once', async () => {
    const events = Array.from({ length: 230 }, (_, index) => ordered('ann', t + index))
    expect(await send([...events, events[7], events[229], { id: 'x', type: 'basket-emptied' }])).toEqual(
      counts(230, 2, 1),
    )
    expect(await send(events)).toEqual(counts(0, 230))
    const { events: recorded } = await caller.store.readPage('user/ann', { limit: 1_000 })
    expect(recorded.map(({ data }) => data)).toEqual(events)
    const other = { ...events[200], timestamp: 1 }
    expect((await send([...events.slice(0, 150), other, ordered('ann', t)]))[0]).toBe(400)
  })

  test('refuses an id that came with other content, by its name; what stood before it stays', async () => {
    const first = ordered('ann', t)
    await send(first)
    const told = refused(`Event "${first.id}" came with other content before`, { id: first.id })
    for (const other of [
      { ...first, timestamp: t + 1 },
      { ...first, more: 1 },
      { ...ordered('bob', t), id: first.id },
    ]) {
      expect(await send([ordered('ann', t), other, ordered('ann', t)])).toEqual(told)
    }
    expect(await head()).toBe(4)
    const twice = created('eve', t)
    expect((await send([twice, { ...twice, timestamp: t + 1 }]))[0]).toBe(400)
    expect(await head()).toBe(5)
  })

  test('drops and counts types that it does not know, and events of a user who was forgotten', async () => {
    await send([created('ann', t), { id: 'x', type: 'basket-emptied' }])
    expect(await send([{ id: 'x', type: 'basket-emptied', whatever: [] }, ordered('bob', t)])).toEqual(counts(1, 0, 1))
    await caller.user('ann')
    await caller.store.forget('user/ann', { reasonCode: 'asked' })
    expect(await send([ordered('ann', t), ordered('bob', t), loggedIn('ann', t)])).toEqual(counts(1, 0, 2))
    expect((await caller.get('users/ann')).status).toBe(404)
    expect(await caller.user('bob')).toMatchObject({ recentOrderCount: 2 })
  })

  test('refuses a batch whole for one item that is no event, and says which and why', async () => {
    const good = ordered('ann', t)
    const wrong: readonly (readonly [unknown, string, string])[] = [
      [7, '', 'must be an event: an object'],
      [[good], '', 'must be an event: an object'],
      [{ id: 'x' }, 'type', 'must be a text'],
      [{ id: 'x', type: 7 }, 'type', 'must be a text'],
      [{ type: 'basket-emptied' }, 'id', 'must be a text that is not empty'],
      [{ ...good, id: '' }, 'id', 'must not be empty'],
      [{ ...good, id: 'x'.repeat(201) }, 'id', 'must have at most 200 characters'],
      [{ ...good, timestamp: '5' }, 'timestamp', 'must be a whole number of milliseconds since 1970'],
      [{ ...good, timestamp: 1.5 }, 'timestamp', 'must be a whole number of milliseconds since 1970'],
      [{ ...good, timestamp: -1 }, 'timestamp', 'must be 0 or more'],
      [{ ...good, timestamp: 253_402_300_800_000 }, 'timestamp', 'must be of a year before 10000'],
      [{ ...good, order: {} }, 'order.userId', 'must be a text'],
      [{ ...good, order: 'x' }, 'order', 'must be an object'],
      [{ ...created('ann', t), user: { id: 'ann' } }, 'user.name', 'must be a text'],
      [{ ...loggedIn('ann', t), user: { id: '..' } }, 'user.id', expect.stringMatching('must hold no "/"') as never],
      [{ ...good, order: { userId: 'a/b' } }, 'order.userId', expect.stringMatching('must hold no "/"') as never],
    ]
    for (const [item, field, reason] of wrong) {
      const [status, body] = await send([good, item])
      const name = field === '' ? '1' : `1.${field}`
      expect([status, body]).toMatchObject([400, { details: { messages: { [name]: [reason] } } }])
    }
    expect(
      await send('{"id":"x","type":"order-submitted","timestamp":1,"order":{"userId":"a","n":1e999}}'),
    ).toMatchObject(refused('requestBody: holds a number that JSON cannot say', expect.anything()))
    expect((await send('[{"id":"\\ud800","type":"order-submitted","timestamp":1,"order":{"userId":"a"}}]'))[0]).toBe(
      400,
    )
    expect((await send({ ...good, more: 'x'.repeat(65_536) }))[0]).toBe(400)
    expect((await send('{'))[0]).toBe(400)
    expect(await head()).toBe(0)
  })
})

describe('GET /users/{id}', () => {
  test('joins what has come, and stands in for what has not', async () => {
    await send([
      loggedIn('bob', t),
      ordered('eve', t),
      created('ann', t),
      loggedIn('ann', t + 2),
      ordered('ann', t + 1),
    ])
    expect(await caller.user('bob')).toEqual({ id: 'bob', name: '**NOT SET**', lastLogin: t, recentOrderCount: 0 })
    expect(await caller.user('eve')).toEqual({ id: 'eve', name: '**NOT SET**', lastLogin: 0, recentOrderCount: 1 })
    expect(await caller.user('ann')).toEqual({ id: 'ann', name: 'ann', lastLogin: t + 2, recentOrderCount: 1 })
  })

  test('goes by the time of the events where they come within the lateness, else by their coming', async () => {
    await send([
      loggedIn('ann', t + 50),
      loggedIn('ann', t + 10),
      created('ann', t + 60, 'new'),
      created('ann', t, 'old'),
    ])
    expect(await caller.user('ann')).toMatchObject({ name: 'new', lastLogin: t + 50 })
    await send([loggedIn('ann', t - 3_600_000)])
    expect(await caller.user('ann')).toMatchObject({ lastLogin: t - 3_600_000 })
  })

  test('is 404 for a user of whom nothing has come, and for what can be none', async () => {
    expect(await caller.get('users/nobody')).toMatchObject({
      status: 404,
      body: { message: 'Nothing has come of a user nobody', details: { id: 'nobody' }, requestId: expect.any(String) },
    })
    expect((await caller.get('users/a%2fb')).status).toBe(404)
    expect((await caller.get('users/%00')).status).toBe(400)
  })
})

test('a fold that takes its time has a snapshot taken, by a job', async ({ onTestFinished }) => {
  const settings = { latenessMs: 0, snapshotSlowerMs: 1e-9 }
  const slow = await callerOf(memoryStorage(), { settings, works: true })
  onTestFinished(() => slow.store.close())
  await slow.post('events', ordered('ann', t))
  await vi.waitFor(async () => expect(await slow.user('ann')).toMatchObject({ snapshotSequence: 1 }), 10_000)
})

test('a snapshot needs no view, and a trim folds none anew', async ({ onTestFinished }) => {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-join-trim-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  let now = t
  const clock = () => now
  const { views, projections, retention } = loginOrderJoin({ latenessMs: 0, snapshotEvery: 100, snapshotSlowerMs: 50 })
  const archive = { objects: folderObjects(folder), retention }
  await using store = await openStore(memoryStorage({ clock }), { projections, clock, archive })
  await ingest(store, [ordered('ann', t), ordered('ann', t)])
  now++
  expect(await takeSnapshot(store, views.settled, 'ann')).toBe(2)
  const folded: string[] = []
  store.projections.start({ onFolded: ({ key, revision }) => folded.push(`${key} ${revision}`) })
  await store.views.get(views.users, 'ann', { after: { stream: 'user/ann', revision: 2 } })
  expect(await store.archive.run()).toMatchObject([{ events: 1 }])
  await ingest(store, ordered('bob', t))
  await store.views.get(views.users, 'bob', { after: { stream: 'user/bob', revision: 1 } })
  expect(folded).toEqual(['ann 2', 'bob 1'])
})

test('a batch that fails halfway is told as failed, and completes when it is sent again', async () => {
  const storage = memoryStorage()
  let left = 2
  const failing: Storage = {
    ...storage,
    async commit(asked) {
      if (asked.some(({ appends }) => appends.some(({ stream }) => stream === 'user/ann')) && --left < 0) {
        throw new Error('The disk is full')
      }
      return storage.commit(asked)
    },
  }
  const full = await callerOf(failing)
  const batch = [1, 2, 3, 4, 5].map((index) => ordered('ann', t + index))
  expect((await full.post('events', batch)).status).toBe(500)
  expect(await full.user('ann')).toMatchObject({ recentOrderCount: 2 })
  left = 5
  expect((await full.post('events', batch)).body).toEqual({ recorded: 3, repeated: 2, dropped: 0 })
  expect(await full.user('ann')).toMatchObject({ recentOrderCount: 5 })
  await full.store.close()
})

test('the page shows each type of event, and both routes', async () => {
  const document = openApiDocument({ title: 'x', description: 'x', routes: routesOf(viewsOf({ latenessMs: 1 })) })
  expect(Object.keys(document['paths'] as object)).toEqual(['/events', '/users/{id}'])
  const text = JSON.stringify(document)
  for (const type of ['user-created', 'user-loggedIn', 'order-submitted']) expect(text).toContain(`"const":"${type}"`)
  expect((await caller.get('/openapi/openapi-spec.json')).status).toBe(200)
  expect((await caller.get('/openapi/')).text).toContain('<html')
})

test('what is wrong in the environment is named', () => {
  expect(settingsOf({})).toEqual({ latenessMs: 60_000, snapshotEvery: 100, snapshotSlowerMs: 50 })
  expect(settingsOf({ LATENESS_MS: '0', SNAPSHOT_EVERY: '5' })).toMatchObject({ latenessMs: 0, snapshotEvery: 5 })
  for (const [name, value] of [
    ['LATENESS_MS', '1s'],
    ['SNAPSHOT_EVERY', '0'],
    ['SNAPSHOT_SLOWER_MS', '-1'],
  ] as const) {
    expect(() => settingsOf({ [name]: value })).toThrow(name)
  }
})
