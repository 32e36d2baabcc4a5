/** The routes in the words of the design. Those of the reference event store are in `app.test.ts`. */
import { describe, expect, test } from 'vitest'
import { openStore } from '../core/store.ts'
import type { StoreOptions } from '../core/store-options.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createApp } from './app.ts'

const day = '2026-01-31T09:30:00.000Z'

async function open(options: StoreOptions = {}) {
  const store = await openStore(memoryStorage({ clock: () => Date.parse(day) }), options)
  const app = createApp({ store, version: '0.0.0' })
  const send = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }
    const response = await app.fetch(new Request(`http://localhost${path}`, init))
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
  }
  return { store, send, get: (path: string, headers = {}) => send('GET', path, undefined, headers) }
}

const events = [
  { type: 'Reserved', data: { by: 'ann' }, tags: ['seat:7'], meta: { correlationId: 'c' } },
  { type: 'Paid', id: 'paid-1' },
]

describe('appending to a stream', () => {
  test('records many events at once, and answers what was recorded', async () => {
    const { send, get } = await open()
    const { status, body } = await send('POST', '/streams/seat/7/events', { events, expected: 0 })
    expect(status).toBe(201)
    expect(body).toEqual({
      stream: 'seat/7',
      first: 1,
      revision: 2,
      position: 2,
      time: day,
      ids: [expect.any(String), 'paid-1'],
      repeated: false,
    })
    expect((await get('/streams/seat/7')).body).toEqual({
      details: { stream: 'seat/7', revision: 2, updatedAt: day, position: 2, forgotten: false },
      events: [
        { id: body.ids[0], stream: 'seat/7', revision: 1, position: 1, time: day, ...events[0] },
        {
          id: 'paid-1',
          stream: 'seat/7',
          revision: 2,
          position: 2,
          time: day,
          type: 'Paid',
          data: null,
          meta: null,
          tags: [],
        },
      ],
      more: false,
    })
  })

  test('a conflict is 409 with stream, expected and actual; a failed condition tells which event stands in the way', async () => {
    const { send } = await open()
    await send('POST', '/streams/seat/7/events', { events })
    const conflict = await send('POST', '/streams/seat/7/events', { events: [{ type: 'Freed' }], expected: 1 })
    expect([conflict.status, conflict.body.expected, conflict.body.actual]).toEqual([409, 1, 2])
    const exists = await send('POST', '/streams/seat/8/events', { events: [{ type: 'Freed' }], expected: 'exists' })
    expect(exists.body).toMatchObject({ status: 409, stream: 'seat/8', expected: 'exists', actual: 0 })
    const condition = { query: [{ types: ['Reserved'], tags: ['seat:7'] }] }
    const failed = await send('POST', '/streams/seat/8/events', { events: [{ type: 'Reserved' }], condition })
    expect(failed.body).toMatchObject({
      status: 409,
      type: 'urn:daybook:problem:condition-failed',
      stream: 'seat/7',
      revision: 1,
    })
  })

  test('what is not understood is refused with its place: a slip must not change what is meant', async () => {
    const { send, store } = await open()
    const refused = async (body: unknown, field: string) => {
      const answer = await send('POST', '/streams/seat/7/events', body)
      expect([answer.status, Object.keys(answer.body.details?.messages ?? {})], JSON.stringify(body)).toEqual([
        400,
        [field],
      ])
    }
    await refused({ events, expectd: 0 }, 'requestBody')
    await refused({ events: [{ type: 'A', payload: 1 }] }, 'events[0]')
    await refused({ events: [{ type: '' }] }, 'events[0].type')
    await refused({ events: [{ type: '$mine' }] }, 'events[0].type')
    await refused({ events: [{ type: 'A', tags: [''] }] }, 'events[0].tags[0]')
    await refused({ events: [{ type: 'A', meta: 'text' }] }, 'events[0].meta')
    await refused({ events: [{ type: 'A', meta: { occurredAt: 7 } }] }, 'events[0].meta.occurredAt')
    await refused({ events: [] }, 'events')
    await refused({ events: 'A' }, 'events')
    await refused({ events, expected: -1 }, 'expected')
    await refused({ events, expected: 'new' }, 'expected')
    await refused({ events, condition: { query: [] } }, 'condition.query')
    await refused({ events, condition: { query: [{ types: ['A'] }], after: 1.5 } }, 'condition.after')
    await refused([], 'requestBody')
    expect(await store.streamTypes()).toEqual([])
  })

  test('a schema that refuses is told with its type and issues', async () => {
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: () => ({ issues: [{ message: 'no', path: ['by'] }] }),
      },
    }
    const { send } = await open({ schemas: { Reserved: schema } })
    const { status, body } = await send('POST', '/streams/seat/7/events', { events })
    expect([status, body.type]).toEqual([400, 'urn:daybook:problem:schema-violation'])
    expect(body).toMatchObject({ eventType: 'Reserved', issues: [{ path: 'data.by', message: 'no' }] })
  })
})

describe('appending to several streams', () => {
  test('is all or nothing, and may only check some of them', async () => {
    const { send, get } = await open()
    await send('POST', '/streams/show/1/events', { events: [{ type: 'Opened' }] })
    const appends = [
      { stream: 'seat/1', events: [{ type: 'Reserved' }], expected: 0 },
      { stream: 'show/1', events: [], expected: 1 },
    ]
    const first = await send('POST', '/append', { appends })
    expect(
      first.body.appended.map(({ stream, revision }: { stream: string; revision: number }) => [stream, revision]),
    ).toEqual([['seat/1', 1]])
    const second = await send('POST', '/append', {
      appends: [
        { stream: 'seat/2', events: [{ type: 'Reserved' }] },
        { ...appends[1], expected: 0 },
      ],
    })
    expect([second.status, second.body.stream]).toEqual([409, 'show/1'])
    expect((await get('/streams/seat/2')).body).toEqual({ events: [], more: false })
    const twice = await send('POST', '/append', { appends: [appends[0], appends[0]] })
    expect(twice.body.details.messages).toHaveProperty(['appends[1].stream'])
  })
})

describe('an Idempotency-Key', () => {
  const key = { 'idempotency-key': 'try-1' }

  test('makes each writing route safe to repeat; with another body it is 422', async () => {
    const { send, get } = await open()
    const routes: readonly (readonly [string, unknown, unknown])[] = [
      [
        '/streams/seat/1/events',
        { events: [{ type: 'A' }, { type: 'B' }] },
        { events: [{ type: 'A' }, { type: 'C' }] },
      ],
      [
        '/append',
        { appends: [{ stream: 'seat/2', events: [{ type: 'A' }] }] },
        { appends: [{ stream: 'seat/2', events: [{ type: 'B' }] }] },
      ],
    ]
    for (const [path, body, other] of routes) {
      const first = await send('POST', path, body, key)
      const again = await send('POST', path, body, key)
      expect([first.status, again.status]).toEqual([201, 201])
      expect(JSON.stringify(again.body)).toBe(JSON.stringify(first.body).replace('"repeated":false', '"repeated":true'))
      expect((await send('POST', path, other, key)).status).toBe(422)
    }
    expect((await get('/streams/seat/1')).body.details.revision).toBe(2)
    const forget = () => send('POST', '/streams/seat/1/forget', { reasonCode: 'asked' }, key)
    expect((await forget()).body).toEqual((await forget()).body)
  })

  test('is of its route and its stream: elsewhere the same key is another request', async () => {
    const { send } = await open()
    const body = { events: [{ type: 'A' }] }
    const first = await send('POST', '/streams/seat/1/events', body, key)
    const second = await send('POST', '/streams/seat/2/events', body, key)
    expect([first.status, second.status, first.body.ids[0] === second.body.ids[0]]).toEqual([201, 201, false])
  })
})

describe('a trace', () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const metaOf = async (body: object, headers: Record<string, string>) => {
    const { send, get } = await open()
    await send('POST', '/streams/seat/1/events', body, headers)
    return (await get('/streams/seat/1')).body.events[0].meta
  }

  test('is written into meta where the request has neither ids nor a key, and never over what is there', async () => {
    const body = { events: [{ type: 'A', meta: { correlationId: 'c' } }] }
    expect(await metaOf(body, { traceparent })).toEqual({ traceparent, correlationId: 'c' })
    expect(await metaOf({ events: [{ type: 'A', meta: { traceparent: 'own' } }] }, { traceparent })).toEqual({
      traceparent: 'own',
    })
    expect(await metaOf(body, { traceparent, 'idempotency-key': 'k' })).toEqual({ correlationId: 'c' })
    expect(await metaOf({ events: [{ type: 'A', id: 'own' }] }, { traceparent })).toBeNull()
    expect(await metaOf(body, { traceparent: 'nonsense' })).toEqual({ correlationId: 'c' })
  })
})

describe('reading', () => {
  test('a stream by revision, instant and direction, in both sets of names', async () => {
    const { send, get } = await open()
    await send('POST', '/streams/seat/7/events', { events: Array(5).fill({ type: 'A' }) })
    const revisions = async (path: string) => {
      const { body } = await get(path)
      return (body.events ?? body.eventPage.events).map(({ revision }: { revision: number }) => revision)
    }
    expect(await revisions('/streams/seat/7?after=1&limit=2')).toEqual([2, 3])
    expect(await revisions('/streams/seat/7?direction=backwards&until-revision=4&limit=2')).toEqual([4, 3])
    expect(await revisions('/streams/seat/7?until=2026-01-31T09:29:59Z')).toEqual([])
    expect(await revisions('/streams/seat/7?until=2026-01-31T09:30:00Z&until-revision=2')).toEqual([1, 2])
    expect(await revisions('/streams/seat/7/events?after-revision=3')).toEqual([4, 5])
    expect(await revisions('/streams/seat/7/events?direction=backwards&limit=2')).toEqual([5, 4])
    expect(await revisions('/streams/seat/7/events?until-revision=2&until=2026-01-31T09:30:00Z')).toEqual([1, 2])
    for (const query of ['limit=0', 'limit=1001', 'direction=up', 'until=yesterday', 'until-revision=-1', 'after=x']) {
      expect((await get(`/streams/seat/7?${query}`)).status, query).toBe(400)
    }
  })

  test('a page that the client has already is not sent again, until something of it is forgotten', async () => {
    const { send, get } = await open()
    await send('POST', '/streams/seat/7/events', { events })
    for (const path of ['/streams/seat/7', '/streams/seat/7/events', '/log']) {
      const { headers } = await get(path)
      const etag = String(headers.get('etag'))
      expect(headers.get('cache-control')).toBe('private, no-cache')
      const again = await get(path, { 'if-none-match': `"other", W/${etag}` })
      expect([again.status, again.body, again.headers.get('etag')]).toEqual([304, undefined, etag])
    }
    const etag = String((await get('/log?until-position=2')).headers.get('etag'))
    await send('POST', '/streams/seat/7/forget', { reasonCode: 'asked' })
    expect((await get('/log?until-position=2', { 'if-none-match': etag })).status).toBe(200)
  })

  test('lists of streams with all that is known of them, and of their types', async () => {
    const { send, get } = await open()
    for (const id of [1, 2, 3]) await send('POST', `/streams/seat/${id}/events`, { events: [{ type: 'A' }] })
    const first = (await get('/streams?stream-type=seat&limit=2')).body
    expect(first.streams[0]).toEqual({ stream: 'seat/1', revision: 1, updatedAt: day, position: 1, forgotten: false })
    const second = (await get(`/streams?stream-type=seat&limit=2&cursor=${encodeURIComponent(first.next)}`)).body
    expect([second.streams.length, second.next]).toEqual([1, undefined])
    expect((await get('/streams')).body.details.messages).toEqual({ 'stream-type': ['required'] })
    expect((await get('/streams?stream-type=seat&cursor=x')).status).toBe(400)
    expect((await get('/stream-types')).body).toEqual({ streamTypes: ['seat'] })
    expect((await get('/info')).body).toMatchObject({ head: 3, storage: 'memory' })
  })

  test('the log by pages, with filters that may stand several times', async () => {
    const { send, get } = await open()
    await send('POST', '/append', {
      appends: [
        { stream: 'seat/7', events },
        { stream: 'show/1', events: [{ type: 'Opened', tags: ['gala', 'late'] }] },
      ],
    })
    const read = async (query: string) =>
      (await get(`/log?${query}`)).body.entries.map(({ position }: { position: number }) => position)
    expect(await read('')).toEqual([1, 2, 3])
    expect(await read('stream-type=show&stream-type=seat')).toEqual([1, 2, 3])
    expect(await read('event-type=Paid&event-type=Opened')).toEqual([2, 3])
    expect(await read('tag=gala&tag=late')).toEqual([3])
    expect(await read('tag=gala&tag=seat:7')).toEqual([])
    expect((await get('/log?after=1&limit=1')).body).toMatchObject({ head: 3, scannedTo: 2, more: true })
    expect((await get('/log?after=4')).body).toMatchObject({ status: 409, position: 4, head: 3 })
    expect((await get('/log?log-id=other')).body).toMatchObject({ status: 409, logId: 'other' })
    expect((await get('/log?stream-type=not%20a%20type')).status).toBe(400)
    expect((await get('/log?limit=1&limit=2')).status).toBe(400)
  })

  test('a decision, page by page, and the condition that guards it', async () => {
    const { send } = await open()
    await send('POST', '/streams/order/1/events', { events: Array(3).fill({ type: 'Reserved', tags: ['seat:7'] }) })
    const query = [{ types: ['Reserved'], tags: ['seat:7'] }]
    const first = (await send('POST', '/boundary', { query, limit: 2 })).body
    expect([first.events.length, first.more]).toEqual([2, true])
    const last = (await send('POST', '/boundary', { query, after: first.scannedTo })).body
    expect([last.events.length, last.more]).toEqual([1, false])
    const append = (stream: string) =>
      send('POST', `/streams/${stream}/events`, {
        events: [{ type: 'Reserved', tags: ['seat:7'] }],
        condition: last.condition,
      })
    expect((await append('order/2')).status).toBe(201)
    expect((await append('order/3')).body).toMatchObject({ status: 409, stream: 'order/2', revision: 1 })
    expect((await send('POST', '/boundary', { query: [{}] })).status).toBe(400)
  })
})

describe('forgetting', () => {
  test('answers its report; what is written afterwards is 410', async () => {
    const { send } = await open()
    await send('POST', '/streams/person/1/events', { events })
    const { status, body } = await send('POST', '/streams/person/1/forget', {
      reasonCode: 'gdpr-art-17',
      tombstone: { type: 'Left' },
    })
    expect([status, body]).toEqual([
      200,
      {
        ...{ stream: 'person/1', revision: 3, position: 3, time: day, events: 2, documents: 0, kinds: {} },
        ...{ segments: 0, backups: 0, scrub: 'done', remains: [] },
      },
    ])
    expect((await send('POST', '/streams/person/1/events', { events })).status).toBe(410)
    expect((await send('POST', '/streams/person/2/forget', { reasonCode: 'asked' })).status).toBe(404)
    expect((await send('POST', '/streams/person/1/forget', {})).body.details.messages).toEqual({
      reasonCode: ['required'],
    })
  })
})

describe('compression', () => {
  test('is for those who ask, where it is worth it, and never of a feed', async () => {
    const { send, get } = await open()
    await send('POST', '/streams/seat/7/events', { events: Array(100).fill({ type: 'A', data: 'x'.repeat(100) }) })
    const { store } = await open()
    const app = createApp({ store, version: '0.0.0' })
    const packed = async (path: string, accept = 'application/json') => {
      const request = new Request(`http://localhost${path}`, { headers: { 'accept-encoding': 'gzip', accept } })
      const response = await app.fetch(request)
      await response.body?.cancel()
      return response.headers.get('content-encoding')
    }
    expect(await packed('/openapi/openapi-spec.json')).toBe('gzip')
    expect(await packed('/liveness-check')).toBeNull()
    expect(await packed('/log', 'text/event-stream')).toBeNull()
    expect((await get('/streams/seat/7')).headers.get('content-encoding')).toBeNull()
  })
})
