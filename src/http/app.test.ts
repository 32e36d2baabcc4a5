import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { range } from '../conformance/kit.ts'
import { limits } from '../core/limits.ts'
import { openStore, type Store } from '../core/store.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createApp } from './app.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const event = { eventType: 'Reserved', payload: 'by Ann' }

interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: what the wire brings is looked at field by field
  readonly body: any
}

type Call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>

/** Every status that was seen, by route, to be held against the OpenAPI document at the end. */
const seen = new Map<string, Set<number>>()

async function open(clock?: () => number): Promise<{ call: Call; store: Store }> {
  const store = await openStore(memoryStorage(clock ? { clock } : {}))
  const metrics = {
    observe({ method, route, status }: { method: string; route: string; status: number }) {
      const key = `${method} ${route}`
      seen.set(key, (seen.get(key) ?? new Set()).add(status))
    },
    print: async () => new Response(''),
  }
  const app = createApp({ store, version: '0.0.0', metrics })
  const call: Call = async (method, path, body, headers = {}) => {
    const text =
      body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
    const request = new Request(`http://daybook${path}`, {
      method,
      headers,
      ...(text !== undefined && { body: text as string }),
    })
    const response = await app.fetch(request)
    const answer = await response.text()
    const isJson = method !== 'HEAD' && response.headers.get('content-type')?.includes('json')
    if (response.status >= 400 && method !== 'HEAD') {
      expect(response.headers.get('content-type')).toBe('application/problem+json')
      const problem = JSON.parse(answer)
      expect(problem).toMatchObject({ status: response.status, message: expect.any(String), title: expect.any(String) })
      expect(problem.type).toMatch(/^urn:daybook:problem:[a-z-]+$/)
      expect(problem.requestId).toBe(response.headers.get('x-request-id'))
      expect('details' in problem).toBe(true)
      expect(answer).not.toMatch(/\.ts:|node_modules|at \w+ \(/)
    }
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(answer) : answer }
  }
  return { call, store }
}

async function created(call: Call, type = 'seat'): Promise<string> {
  const { status, body } = await call('POST', `/streams/${type}`, { initialEvent: event })
  expect(status).toBe(201)
  return body.stream.streamId
}

const append = (call: Call, id: string, revision: number | string, headers = {}, type = 'seat') =>
  call('PUT', `/streams/${type}/${id}/events/${revision}`, { event }, headers)

describe('creating a stream', () => {
  test('answers 201 with a new UUID, revision 1 and a time of fixed width, indented by two', async () => {
    const { call } = await open()
    const { status, body, headers } = await call('POST', '/streams/seat', { initialEvent: event })
    expect(status).toBe(201)
    expect(headers.get('content-type')).toBe('application/json')
    expect(headers.get('x-request-id')).toMatch(uuid)
    expect(body).toEqual({
      stream: {
        streamId: expect.stringMatching(uuid),
        streamType: 'seat',
        revision: 1,
        updatedAt: expect.stringMatching(instant),
      },
    })
  })

  test.each([
    ['a text'],
    [''.padEnd(9)],
    [{ by: 'Ann', list: [1, null, { a: '\u0000🎫' }] }],
    [[1, 2]],
    [0],
    [false],
    [19.99],
    ['{"a":1}'],
  ])('the payload %j comes back by value', async (payload) => {
    const { call } = await open()
    const { body } = await call('POST', '/streams/seat', { initialEvent: { eventType: 'Any', payload } })
    const events = await call('GET', `/streams/seat/${body.stream.streamId}/events`)
    expect(events.body.eventPage.events[0].payload).toEqual(payload)
  })

  test.each([
    [{}, { initialEvent: ['required'] }],
    [{ initialEvent: null }, { initialEvent: ['required'] }],
    [{ initialEvent: 5 }, { initialEvent: ['must be an object'] }],
    [{ initialEvent: {} }, { 'initialEvent.eventType': ['required'], 'initialEvent.payload': ['required'] }],
    [
      { initialEvent: { eventType: '', payload: '' } },
      { 'initialEvent.eventType': ['required'], 'initialEvent.payload': ['required'] },
    ],
    [
      { initialEvent: { eventType: null, payload: null } },
      { 'initialEvent.eventType': ['required'], 'initialEvent.payload': ['required'] },
    ],
    [{ initialEvent: { eventType: 5, payload: 'x' } }, { 'initialEvent.eventType': ['must be a text'] }],
    [
      { initialEvent: { eventType: '$mine', payload: 'x' } },
      { 'initialEvent.eventType': [expect.stringContaining('begins with "$"')] },
    ],
    [[], { requestBody: ['must be an object'] }],
    ['nope', { requestBody: [expect.stringMatching(/^is no JSON/)] }],
    ['', { requestBody: ['required'] }],
    [new Uint8Array([0xff, 0xfe]), { requestBody: ['is no UTF-8 text'] }],
    [
      '{"initialEvent":{"eventType":"A","payload":{"a":1,"a":2}}}',
      { 'initialEvent.payload.a': ['stands twice in its object'] },
    ],
    [
      '{"initialEvent":{"eventType":"A","payload":[9007199254740993]}}',
      { 'initialEvent.payload[0]': [expect.stringContaining('cannot hold exactly')] },
    ],
    [
      '{"initialEvent":{"eventType":"A","payload":"\\ud800"}}',
      { 'initialEvent.payload': [expect.stringContaining('surrogate')] },
    ],
  ])('the body %j is refused field by field', async (body, messages) => {
    const { call, store } = await open()
    const answer = await call('POST', '/streams/seat', body)
    expect(answer).toMatchObject({ status: 400, body: { details: { messages } } })
    expect((await store.info()).head).toBe(0)
  })

  test('every payload that JSON can say comes back by value, through the wire and the store', async () => {
    const { call } = await open()
    const id = await created(call)
    let revision = 1
    const payload = fc
      .jsonValue({ stringUnit: 'binary', depthSize: 'large' })
      .filter((value) => value !== null && value !== '')
    await fc.assert(
      fc.asyncProperty(payload, async (payload) => {
        const sent = JSON.parse(JSON.stringify(payload))
        const { status } = await call('PUT', `/streams/seat/${id}/events/${++revision}`, {
          event: { eventType: 'Any', payload: sent },
        })
        expect(status).toBe(201)
        const { body } = await call('GET', `/streams/seat/${id}/events?after-revision=${revision - 1}`)
        expect(body.eventPage.events[0].payload).toEqual(sent)
      }),
      { numRuns: 300 },
    )
  })

  test('a type that breaks the rule is refused, and so is a path that is no UTF-8', async () => {
    const { call } = await open()
    for (const type of ['a b', '%20', '-x', 'x'.repeat(65), 'a%2Fb', '%F0%9F%8E%AB']) {
      const { status, body } = await call('POST', `/streams/${type}`, { initialEvent: event })
      expect([status, Object.keys(body.details.messages)]).toEqual([400, ['streamType']])
    }
    expect((await call('POST', '/streams/%E0%A4%A', { initialEvent: event })).status).toBe(400)
  })

  test('bodies that are too large, too deep or encoded are refused by their own status', async () => {
    const { call } = await open()
    const body = (payload: string) => `{"initialEvent":{"eventType":"A","payload":${payload}}}`
    expect((await call('POST', '/streams/seat', body(`"${'x'.repeat(limits.eventBytes)}"`))).status).toBe(413)
    expect((await call('POST', '/streams/seat', ' '.repeat(limits.requestBytes + 1))).status).toBe(413)
    expect((await call('POST', '/streams/seat', body('['.repeat(100_000) + ']'.repeat(100_000)))).status).toBe(400)
    expect((await call('POST', '/streams/seat', body('1'), { 'content-encoding': 'br' })).status).toBe(415)
  })

  test('a body may come compressed; one that unpacks to more than the limit, or to nothing, is refused', async () => {
    const { call } = await open()
    const packed = async (text: string, encoding: 'gzip' | 'deflate') => {
      const stream = new Blob([text]).stream().pipeThrough(new CompressionStream(encoding))
      const bytes = new Uint8Array(await new Response(stream).arrayBuffer())
      return call('POST', '/streams/seat', bytes, { 'content-encoding': encoding })
    }
    const text = JSON.stringify({ initialEvent: event })
    expect((await packed(text, 'gzip')).status).toBe(201)
    expect((await packed(text, 'deflate')).status).toBe(201)
    expect((await packed(' '.repeat(40 * limits.requestBytes), 'gzip')).status).toBe(413)
    const { status, body } = await call('POST', '/streams/seat', text, { 'content-encoding': 'gzip' })
    expect([status, body.details]).toEqual([400, { messages: { requestBody: ['is no gzip, or is cut off'] } }])
  })
})

describe('appending the event of a revision', () => {
  test('answers 201 with the new revision, and its event has the same time as the stream', async () => {
    const { call } = await open()
    const id = await created(call)
    const { status, body } = await append(call, id, 2)
    expect([status, body.stream.revision]).toEqual([201, 2])
    const details = await call('GET', `/streams/seat/${id}/details`)
    expect(details.body).toEqual(body)
    const events = await call('GET', `/streams/seat/${id}/events`)
    expect(events.body.eventPage.events[1].createdAt).toBe(body.stream.updatedAt)
  })

  test('a revision that is taken or skips one is a conflict that tells the actual one', async () => {
    const { call } = await open()
    const id = await created(call)
    await append(call, id, 2)
    for (const revision of [1, 2, 4]) {
      const { status, body } = await append(call, id, revision)
      expect(status).toBe(409)
      expect(body).toMatchObject({ stream: `seat/${id}`, expected: revision - 1, actual: 2, details: null })
      const standard = ['type', 'title', 'status', 'message', 'requestId', 'details']
      expect(Object.keys(body)).toEqual([...standard, 'stream', 'expected', 'actual'])
    }
  })

  test('it never creates a stream', async () => {
    const { call, store } = await open()
    for (const revision of [1, 2]) expect((await append(call, crypto.randomUUID(), revision)).status).toBe(404)
    const id = await created(call)
    expect((await append(call, id, 2, {}, 'show')).status).toBe(404)
    expect((await store.info()).head).toBe(1)
  })

  test('what is malformed is 400, before anything is looked up', async () => {
    const { call } = await open()
    for (const revision of ['0', '-1', '1.5', 'two', '9007199254740993', '1e3', '0x2', '%20']) {
      expect((await append(call, 'unknown', revision)).body).toMatchObject({
        status: 400,
        details: { messages: { streamRevision: [expect.any(String)] } },
      })
    }
    expect((await call('PUT', '/streams/seat/unknown/events/2', {})).status).toBe(400)
    for (const id of ['..%2F..', '%00', 'x'.repeat(201)]) expect((await append(call, id, 2)).status).toBe(400)
  })

  test('of many that race for one revision one gets it, and the others 409', async () => {
    const { call } = await open()
    const id = await created(call)
    const statuses = (await Promise.all(range(1, 20).map(() => append(call, id, 2)))).map(({ status }) => status)
    expect(statuses.toSorted()).toEqual([201, ...Array(19).fill(409)])
  })
})

describe('a request with an Idempotency-Key', () => {
  const key = { 'idempotency-key': 'order-17' }

  test('that creates is recorded once, also when the tries run at once, and answered as the first time', async () => {
    const { call, store } = await open()
    const create = () => call('POST', '/streams/seat', { initialEvent: event }, key)
    const answers = await Promise.all(range(1, 8).map(create))
    expect(new Set(answers.map(({ status, body }) => `${status} ${JSON.stringify(body)}`)).size).toBe(1)
    await append(call, answers[0]?.body.stream.streamId, 2)
    expect((await create()).body).toEqual(answers[0]?.body)
    expect((await store.info()).head).toBe(2)
  })

  test('that appends is answered as the first time, also after others have appended', async () => {
    const { call } = await open()
    const id = await created(call)
    const first = await append(call, id, 2, key)
    await append(call, id, 3)
    expect(await append(call, id, 2, key)).toMatchObject({ status: 201, body: first.body })
    expect((await append(call, id, 2)).status).toBe(409)
  })

  test('and another body is 422; another path, method or key is another request', async () => {
    const { call } = await open()
    await call('POST', '/streams/seat', { initialEvent: event }, key)
    const other = { initialEvent: { ...event, payload: 'by Bob' } }
    expect(await call('POST', '/streams/seat', other, key)).toMatchObject({ status: 422 })
    expect((await call('POST', '/streams/show', other, key)).status).toBe(201)
    expect((await call('POST', '/streams/seat', other, { 'idempotency-key': 'order-18' })).status).toBe(201)
  })

  test('that is no key is refused', async () => {
    const { call } = await open()
    const long = { 'idempotency-key': 'x'.repeat(201) }
    expect(await call('POST', '/streams/seat', { initialEvent: event }, long)).toMatchObject({
      status: 400,
      body: { details: { messages: { 'Idempotency-Key': [expect.any(String)] } } },
    })
  })
})

describe('reading', () => {
  test('events come in their order, after a revision, page by page', async () => {
    const { call, store } = await open()
    const types = Array.from({ length: 1_000 }, (_, index) => ({ type: `T${index}` }))
    for (const _ of range(1, 2)) await store.append('permit/case-891', types)
    await store.append('permit/case-891', [{ type: 'Last', data: { a: 1 } }])
    const revisions: number[] = []
    for (let after = 0, more = true; more; ) {
      const { body } = await call('GET', `/streams/permit/case-891/events?after-revision=${after}`)
      const { events, hasMore, lastEvaluatedRevision } = body.eventPage
      revisions.push(...events.map(({ revision }: { revision: number }) => revision))
      after = lastEvaluatedRevision
      more = hasMore
    }
    expect(revisions).toEqual(range(1, 2_001))
    const last = await call('GET', '/streams/permit/case-891/events?after-revision=2000')
    expect(last.body.eventPage).toEqual({
      events: [
        {
          streamId: 'case-891',
          revision: 2_001,
          eventType: 'Last',
          payload: { a: 1 },
          createdAt: expect.stringMatching(instant),
        },
      ],
      hasMore: false,
      lastEvaluatedRevision: 2_001,
    })
    const beyond = await call('GET', '/streams/permit/case-891/events?after-revision=2001')
    expect(beyond.body.eventPage).toEqual({ events: [], hasMore: false, lastEvaluatedRevision: 0 })
  })

  test('an unknown stream, or one of another type, is 404', async () => {
    const { call } = await open()
    const id = await created(call)
    for (const path of [`/streams/seat/none`, `/streams/show/${id}`]) {
      expect((await call('GET', `${path}/details`)).status).toBe(404)
      expect((await call('GET', `${path}/events`)).status).toBe(404)
    }
  })

  test('a malformed number, date or page key is 400', async () => {
    const { call } = await open()
    const id = await created(call)
    for (const after of ['-1', 'x', '1.5', '', '99999999999999999999', '0&after-revision=1']) {
      expect((await call('GET', `/streams/seat/${id}/events?after-revision=${after}`)).status).toBe(400)
    }
    for (const since of ['yesterday', '2026-02-30T00:00:00Z', '', '2026-01-01']) {
      const { status, body } = await call('GET', `/streams/seat?updated-after=${since}`)
      expect([status, Object.keys(body.details.messages)]).toEqual([400, ['updated-after']])
    }
    for (const key of ['nope', '%7C', btoa('[1,2,3]'), btoa('{}'), btoa('["seat","","x"]')]) {
      expect((await call('GET', `/streams/seat?stream-next-page-key=${key}`)).status).toBe(400)
    }
  })

  test('streams are listed from an instant on, inclusive, and paging comes to an end by either name of the key', async () => {
    let now = Date.parse('2026-01-01T00:00:00.000Z')
    const { call, store } = await open(() => now)
    for (const id of range(1, 250)) {
      now += 1
      await store.append(`seat/${id}`, [{ type: 'Reserved' }])
    }
    for (const name of ['stream-next-page-key', 'nextPageKey']) {
      const ids: string[] = []
      let key: string | undefined
      do {
        const { body } = await call('GET', `/streams/seat?${key === undefined ? '' : `${name}=${key}`}`)
        ids.push(...body.streamPage.streams.map(({ streamId }: { streamId: string }) => streamId))
        key = body.streamPage.nextPageKey
        expect(body.streamPage.hasMore).toBe(key !== undefined)
      } while (key !== undefined)
      expect(ids).toEqual(range(1, 250).map(String))
    }
    const since = async (text: string) => {
      const { body } = await call('GET', `/streams/seat?updated-after=${encodeURIComponent(text)}`)
      return body.streamPage.streams.map(({ streamId }: { streamId: string }) => streamId)
    }
    expect(await since('2026-01-01T00:00:00.249Z')).toEqual(['249', '250'])
    expect(await since('2026-01-01T01:00:00.249000001+01:00')).toEqual(['250'])
    expect(await since('2027-01-01T00:00:00Z')).toEqual([])
    expect((await call('GET', '/streams/nothing')).body).toEqual({ streamPage: { streams: [], hasMore: false } })
  })

  test('a forgotten stream is at its tombstone, shows nothing else, and takes nothing more', async () => {
    const { call, store } = await open()
    const id = await created(call)
    await append(call, id, 2)
    await store.forget(`seat/${id}`, { reasonCode: 'asked' })
    expect((await call('GET', `/streams/seat/${id}/details`)).body.stream.revision).toBe(3)
    expect((await call('GET', '/streams/seat')).body.streamPage.streams[0].revision).toBe(3)
    const { events } = (await call('GET', `/streams/seat/${id}/events`)).body.eventPage
    expect(events).toEqual([
      { streamId: id, revision: 3, eventType: '$forgotten', payload: null, createdAt: expect.stringMatching(instant) },
    ])
    for (const revision of [1, 3, 4]) expect((await append(call, id, revision)).status).toBe(410)
  })
})

describe('other paths', () => {
  test('GET of an unknown path is 301 to the page, any other method there 404', async () => {
    const { call } = await open()
    for (const path of ['/', '/nope', '/streams/', '/streams/seat/1/2', '/openapi', '/favicon.ico', '/streams/seat/']) {
      const { status, headers } = await call('GET', path)
      expect([status, headers.get('location')]).toEqual([301, '/openapi/'])
      expect((await call('POST', path, {})).status).toBe(404)
    }
  })

  test('a wrong method on a known path is 405, with those that are allowed', async () => {
    const { call } = await open()
    const allowed = async (method: string, path: string) => {
      const { status, headers } = await call(method, path)
      expect(status).toBe(405)
      return headers.get('allow')
    }
    expect(await allowed('DELETE', '/streams/seat')).toBe('POST, GET, HEAD')
    expect(await allowed('GET', '/streams/seat/1/events/2')).toBe('PUT')
    expect(await allowed('PATCH', '/streams/seat/1/details')).toBe('GET, HEAD')
    expect(await allowed('POST', '/liveness-check')).toBe('GET, HEAD')
  })

  test('the server says that it is alive, and whether it is ready', async () => {
    const { call, store } = await open()
    expect(await call('GET', '/liveness-check')).toMatchObject({
      status: 200,
      body: { status: 'ok', at: expect.stringMatching(instant) },
    })
    expect(await call('GET', '/readiness')).toMatchObject({ status: 200, body: { status: 'ok', head: 0 } })
    expect(await call('HEAD', '/readiness')).toMatchObject({ status: 200, body: '' })
    await store.close()
    expect((await call('GET', '/readiness')).status).toBe(503)
    expect((await call('POST', '/streams/seat', { initialEvent: event })).status).toBe(503)
    expect((await call('GET', '/liveness-check')).status).toBe(200)
  })
})

test('any bytes on any path lead to an answer that says what is wrong, and to no 5xx', async () => {
  const { call, store } = await open()
  await store.append('seat/1', [{ type: 'Reserved' }])
  const segment = fc.oneof(
    fc.constantFrom(
      'streams',
      'seat',
      '1',
      'events',
      'details',
      '2',
      'openapi',
      'metrics',
      ...['views', 'projections', 'rebuild', 'replays', 'consumers', 'reset', 'jobs', 'schedules', 'snapshots'],
      'event-types',
      '..',
      '.',
      '%2e%2e',
      '%00',
      '%',
      '',
    ),
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed())),
    fc.string({ unit: 'grapheme', maxLength: 10 }),
  )
  const path = fc.array(segment, { maxLength: 7 }).map((segments) => `/${segments.join('/')}`.replaceAll(/[?#\\]/g, ''))
  const query = fc.array(
    fc.tuple(
      fc.constantFrom('after-revision', 'updated-after', 'nextPageKey', 'equals', 'at', 'cursor', 'x'),
      fc.string(),
    ),
    { maxLength: 3 },
  )
  const body = fc.oneof(
    fc.json({ stringUnit: 'binary' }),
    fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()),
    fc.uint8Array({ maxLength: 200 }),
    fc
      .jsonValue({ stringUnit: 'binary' })
      .map((payload) =>
        JSON.stringify({ event: { eventType: 'A', payload }, initialEvent: { eventType: 'A', payload } }),
      ),
  )
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD')
  await fc.assert(
    fc.asyncProperty(method, path, query, body, async (method, path, query, body) => {
      const search = query.map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join('&')
      const sent = method === 'GET' || method === 'HEAD' ? undefined : body
      const { status } = await call(method, `${path}?${search}`, sent)
      expect(status).toBeLessThan(500)
    }),
    { numRuns: 2_000 },
  )
  expect((await call('GET', '/streams/seat/1/details')).status).toBe(200)
}, 120_000)

describe('the OpenAPI document', () => {
  test('is 3.1, and all that it refers to is there', async () => {
    const { call } = await open()
    const { status, body } = await call('GET', '/openapi/openapi-spec.json')
    expect([status, body.openapi]).toEqual([200, '3.1.0'])
    for (const [, name] of JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
      expect(Object.keys(body.components.schemas)).toContain(name)
    }
    for (const [path, operations] of Object.entries<Record<string, { parameters?: { name: string; in: string }[] }>>(
      body.paths,
    )) {
      for (const operation of Object.values(operations)) {
        const named = (operation.parameters ?? [])
          .filter((parameter) => parameter.in === 'path')
          .map(({ name }) => name)
        expect(named).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))
      }
    }
    expect(body.paths['/streams/{streamType}'].get.parameters.map(({ name }: { name: string }) => name)).toEqual([
      'streamType',
      'updated-after',
      'stream-next-page-key',
      'nextPageKey',
    ])
  })

  afterAll(async () => {
    const { call } = await open()
    const { body } = await call('GET', '/openapi/openapi-spec.json')
    for (const [key, statuses] of seen) {
      const [method = '', route = ''] = key.split(' ')
      const operation = body.paths[route]?.[(method === 'HEAD' ? 'GET' : method).toLowerCase()]
      if (operation === undefined) continue
      for (const status of statuses) {
        expect(Object.keys(operation.responses), `${key} answered ${status}`).toContain(String(status))
      }
    }
  })
})
