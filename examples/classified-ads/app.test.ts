/** The contract, route by route: what is answered, and each way to be refused. */

import { Ajv2020 } from 'ajv/dist/2020.js'
import ajvFormats from 'ajv-formats'
import { checkProof, type EventProof, newLedgerKeys, signerOf } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Answer, Asking, Caller } from '../web/caller.ts'
import { openApiDocument } from '../web/openapi.ts'
import { applicationOf } from './app.ts'
import { callerOf } from './caller.ts'
import { adStream } from './domain.ts'

const { signerKey, verifierKey } = newLedgerKeys('ads.example/log')
const bicycle = {
  adTitle: 'Road bicycle',
  adDescription: 'Steel frame, new tyres',
  price: 340,
  currency: 'EUR',
  category: 'bicycles',
  tags: ['steel', 'road'],
}
const json = { Accept: 'application/json' }

let now = Date.UTC(2026, 0, 31, 9, 30)
let caller: Caller
beforeEach(async () => {
  now = Date.UTC(2026, 0, 31, 9, 30)
  const clock = () => now
  caller = await callerOf(memoryStorage({ clock }), { clock, ledger: { signer: signerOf(signerKey) } })
})
afterEach(() => caller.store.close())

const head = async () => (await caller.store.info()).head
const create = async (content: object = bicycle, publisher = 'acme') => {
  const { status, text } = await caller.post(`/publisher/${publisher}/ad`, content)
  expect(status).toBe(200)
  return text.split(' ')[3] as string
}
const patch = (adId: string, body: unknown, asking: Asking = {}) =>
  caller.send('PATCH', `/publisher/acme/ad/${adId}`, { body, ...asking })
const remove = (adId: string, asking: Asking = {}) => caller.send('DELETE', `/publisher/acme/ad/${adId}`, asking)
const rowsAt = async (path: string) => {
  const { status, body } = await caller.get(path)
  expect([path, status]).toEqual([path, 200])
  return body as unknown as readonly Record<string, unknown>[]
}
const next = ({ headers }: Answer) => /^<(\?.*)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1]
/** All pages, by their links. */
const pagesOf = async (path: string) => {
  const pages: unknown[][] = []
  for (let at: string | undefined = path; at !== undefined; ) {
    const answer: Answer = await caller.get(at)
    expect(answer.status).toBe(200)
    pages.push(answer.body as unknown as unknown[])
    const link = next(answer)
    at = link && `${path.split('?')[0]}${link}`
  }
  return pages
}

function expectRefused({ status, body, headers }: Answer, message: string | RegExp, answered = 400): void {
  expect([status, body]).toEqual([
    answered,
    { message: expect.stringMatching(message), requestId: expect.any(String), details: expect.anything() },
  ])
  expect(headers.get('x-request-id')).toBe(body?.['requestId'])
}

describe('POST /publisher/{publisher}/ad', () => {
  test('records an ad under a new id, which is the fourth word of the text', async () => {
    const { status, text, headers } = await caller.post('/publisher/a%20cme/ad', bicycle)
    const adId = text.split(' ')[3] as string
    expect([status, headers.get('content-type')]).toEqual([200, 'text/plain; charset=UTF-8'])
    expect(adId).toMatch(/^[0-9a-z]{9}$/)
    expect(headers.get('location')).toBe(`/publisher/a%20cme/ad/${adId}`)
    expect((await caller.get(headers.get('location') ?? '')).body).toEqual({
      ...bicycle,
      adId,
      publisherId: 'a cme',
    })
  })

  test('answers JSON where Accept names it, and nothing else', async () => {
    const path = '/publisher/acme/ad'
    const { status, body, headers } = await caller.send('POST', path, { body: bicycle, headers: json })
    const adId = String(body?.['adId'])
    const row = { ...bicycle, adId, publisherId: 'acme', version: 0, timestamp: '2026-01-31T09:30:00.000Z' }
    expect([status, body, headers.get('location')]).toEqual([200, row, `${path}/${adId}`])
    for (const accept of ['*/*', 'text/plain', 'application/*', 'application/jsonl']) {
      const answer = await caller.send('POST', path, { body: bicycle, headers: { Accept: accept } })
      expect(answer.text).toMatch(/^\S+ \S+ \S+ [0-9a-z]{9} /)
    }
    const among = await caller.send('POST', path, {
      body: bicycle,
      headers: { Accept: 'text/html, Application/JSON;q=0.9' },
    })
    expect(among.body).toMatchObject(bicycle)
  })

  test('takes neither id nor publisher from the body, and drops what it does not know', async () => {
    const adId = await create({ ...bicycle, adId: 'mine', publisherId: 'other', colour: 'red' })
    expect((await caller.get(`/publisher/acme/ad/${adId}`)).body).toEqual({ ...bicycle, adId, publisherId: 'acme' })
  })

  test('needs all six fields, each of its kind, and records nothing else', async () => {
    for (const field of Object.keys(bicycle)) {
      for (const value of [undefined, null, {}]) {
        expectRefused(await caller.post('/publisher/acme/ad', { ...bicycle, [field]: value }), `^${field}: must be`)
      }
    }
    for (const body of [undefined, '{', 'null', '[]', '7']) {
      expectRefused(await caller.post('/publisher/acme/ad', body), /body is no JSON|must be an object/)
    }
    expectRefused(await caller.post('/publisher/acme/ad', { ...bicycle, price: -1 }), 'price: must not be below 0')
    expectRefused(await caller.post('/publisher/acme/ad', { ...bicycle, tags: [1] }), 'tags.0: must be a text')
    const long = { ...bicycle, adDescription: 'x'.repeat(262_000) }
    expectRefused(await caller.post('/publisher/acme/ad', long), 'over the limit documentBytes')
    expectRefused(
      await caller.post('/publisher/acme/ad', { ...bicycle, adTitle: 'x'.repeat(300_000) }),
      'The body is over',
    )
    expectRefused(await caller.post(`/publisher/${'x'.repeat(901)}/ad`, bicycle), 'over the limit indexValueBytes')
    expect(await head()).toBe(0)
  })

  test('draws again where an id is taken, also by an ad that was deleted or erased', async () => {
    const [one, other, last] = ['1', '2', '3'].map((digit) => `00000000-0000-4000-8000-${digit.padStart(12, '0')}`)
    const drawn = [one, one, one, other, one, other, last] as string[]
    const draw = () => drawn.shift() ?? ''
    const drawing = await callerOf(memoryStorage(), { draw })
    const made = async () => (await drawing.post('/publisher/acme/ad', bicycle)).text.split(' ')[3] as string
    const first = await made()
    await drawing.send('DELETE', `/publisher/acme/ad/${first}`)
    const second = await made()
    await drawing.store.forget(adStream(second), { reasonCode: 'asked' })
    const third = await made()
    expect(new Set([first, second, third]).size).toBe(3)
    expect(drawn).toEqual([])
    await drawing.store.close()
  })

  test('under an Idempotency-Key is done once, and answered as the first time, whatever has come since', async () => {
    const first = await caller.post('/publisher/acme/ad', bicycle, 'key')
    const adId = first.text.split(' ')[3] as string
    await patch(adId, { price: 1 })
    await remove(adId)
    expect((await caller.post('/publisher/acme/ad', { ...bicycle, colour: 'red' }, 'key')).text).toBe(first.text)
    expect(await head()).toBe(3)
    expectRefusedKey(await caller.post('/publisher/acme/ad', { ...bicycle, price: 1 }, 'key'))
    expect((await caller.post('/publisher/other/ad', bicycle, 'key')).text).not.toBe(first.text)
    await caller.store.forget(adStream(adId), { reasonCode: 'asked' })
    expectRefused(await caller.post('/publisher/acme/ad', bicycle, 'key'), `Ad ${adId} is not there`)
  })
})

function expectRefusedKey({ status, body }: Answer): void {
  expect([status, body?.['message']]).toEqual([400, expect.stringMatching('came with another request')])
}

describe('PATCH /publisher/{publisher}/ad/{adId}', () => {
  test('changes what it names and nothing else; the id is the second word of the text', async () => {
    const adId = await create()
    for (const change of [
      { currency: 'CHF' },
      { price: 300, tags: [] },
      { adTitle: 'Bicycle', adDescription: '', category: 'old' },
    ]) {
      const { status, text } = await patch(adId, { ...change, adTitle: undefined, publisherId: 'other', ...change })
      expect([status, text.split(' ')[1]]).toEqual([200, adId])
    }
    const answer = await patch(adId, { price: 200 }, { headers: json })
    const ad = { adTitle: 'Bicycle', adDescription: '', category: 'old', price: 200, currency: 'CHF', tags: [] }
    expect(answer.body).toEqual({ ...ad, adId, publisherId: 'acme', version: 4, timestamp: expect.any(String) })
    expect((await caller.get(`/publisher/acme/ad/${adId}`)).body).toEqual({ ...ad, adId, publisherId: 'acme' })
  })

  test('refuses an empty change, an unknown ad, one of another publisher, a deleted one; and records nothing', async () => {
    const adId = await create()
    const deleted = await create()
    await remove(deleted)
    const before = await head()
    for (const body of [{}, { colour: 'red' }, { price: null }]) {
      expectRefused(await patch(adId, body), 'must hold at least one field')
    }
    expectRefused(await patch(adId, { price: '1' }), 'price: must be a number')
    expectRefused(await patch('unknown', { price: 1 }), 'Ad unknown is not there')
    expectRefused(await patch(deleted, { price: 1 }), `Ad ${deleted} is not there`)
    const other = await caller.send('PATCH', `/publisher/other/ad/${adId}`, { body: { price: 1 } })
    expectRefused(other, `Publisher other does not own ad ${adId}`)
    expect(await head()).toBe(before)
  })

  test('under an Idempotency-Key is done once, and answered as the first time', async () => {
    const adId = await create()
    const first = await patch(adId, { price: 1 }, { key: 'key', headers: json })
    now += 1_000
    await patch(adId, { price: 2 })
    await remove(adId)
    expect((await patch(adId, { price: 1 }, { key: 'key', headers: json })).body).toEqual(first.body)
    expectRefusedKey(await patch(adId, { price: 3 }, { key: 'key' }))
    expect(await head()).toBe(4)
  })
})

describe('DELETE /publisher/{publisher}/ad/{adId}', () => {
  test('takes the ad out of lists and search, and leaves its versions', async () => {
    const adId = await create()
    now += 1_000
    const { status, text } = await remove(adId)
    expect([status, text.split(' ')[1]]).toEqual([200, adId])
    expectRefused(await caller.get(`/publisher/acme/ad/${adId}`), 'has no ad', 404)
    expect(await rowsAt('/publisher/acme/ad')).toEqual([])
    expect(await rowsAt('/?q=bicycle')).toEqual([])
    const [created, deletion] = await rowsAt(`/publisher/acme/ad/${adId}?versions=true`)
    expect(created).toEqual({
      ...bicycle,
      ...{ adId, publisherId: 'acme', version: 0, timestamp: '2026-01-31T09:30:00.000Z' },
    })
    expect(deletion).toEqual({
      ...{ adId, publisherId: 'acme', version: 1, timestamp: '2026-01-31T09:30:01.000Z', deleted: true, tags: [] },
      ...{ adTitle: null, adDescription: null, category: null, currency: null, price: null },
    })
  })

  test('refuses an ad that is not there, not there any more, or of another publisher', async () => {
    const adId = await create()
    expectRefused(await caller.send('DELETE', `/publisher/other/ad/${adId}`), 'Publisher other does not own ad')
    const first = await remove(adId, { key: 'key', headers: json })
    expect(first.body).toMatchObject({ adId, version: 1, deleted: true })
    expect((await remove(adId, { key: 'key', headers: json })).body).toEqual(first.body)
    expectRefused(await remove(adId), `Ad ${adId} is not there`)
    expectRefused(await remove('unknown'), 'Ad unknown is not there')
  })
})

describe('GET /publisher/{publisher}/ad', () => {
  test("lists a publisher's ads by their ids, in pages", async () => {
    const ids: string[] = []
    for (const _ of [1, 2, 3, 4, 5]) ids.push(await create())
    await create(bicycle, 'other')
    const listed = async (path: string) =>
      (await pagesOf(path)).map((page) => page.map((ad) => (ad as { adId: string }).adId))
    expect(await listed('/publisher/acme/ad')).toEqual([ids.toSorted()])
    const pages = await listed('/publisher/acme/ad?limit=2')
    expect(pages.map((page) => page.length)).toEqual([2, 2, 1])
    expect(pages.flat()).toEqual(ids.toSorted())
    expect(await listed('/publisher/nobody/ad')).toEqual([[]])
  })

  test('refuses a limit or a cursor that is none', async () => {
    for (const limit of ['0', '-1', '1001', '1.5', 'x', '']) {
      expectRefused(await caller.get(`/publisher/acme/ad?limit=${limit}`), 'limit: must be 1 to 1000')
    }
    for (const path of ['/publisher/acme/ad', '/replay', '/']) {
      expectRefused(await caller.get(`${path}?q=x&cursor=other`), 'cursor: ')
    }
    expectRefused(await caller.get('/replay?cursor=99'), 'cursor: ')
  })
})

describe('GET /publisher/{publisher}/ad/{adId}', () => {
  test('is 404 for what the publisher does not have', async () => {
    const adId = await create()
    for (const path of [`other/ad/${adId}`, 'acme/ad/unknown', 'acme/ad/%ff', `other/ad/${adId}?versions=true`]) {
      expectRefused(await caller.get(`/publisher/${path}`), /has no ad/, 404)
    }
    expectRefused(await caller.get('/publisher/acme/ad/unknown?versions=true'), 'never was', 404)
  })

  test('gives versions unless they are said to be false, ascending, in pages', async () => {
    const adId = await create()
    for (const price of [1, 2, 3, 4]) await patch(adId, { price })
    const path = `/publisher/acme/ad/${adId}`
    expect((await caller.get(`${path}?versions=false`)).body).toMatchObject({ price: 4 })
    for (const versions of ['true', '', '0', 'no']) {
      const rows = await rowsAt(`${path}?versions=${versions}`)
      expect(rows.map(({ version, price }) => [version, price])).toEqual([
        [0, 340],
        [1, 1],
        [2, 2],
        [3, 3],
        [4, 4],
      ])
    }
    expect((await pagesOf(`${path}?versions=1&limit=2`)).map((page) => page.length)).toEqual([2, 2, 1])
    await caller.store.forget(adStream(adId), { reasonCode: 'asked' })
    expect(await rowsAt(`${path}?versions=1`)).toEqual([])
  })
})

describe('GET /?q=', () => {
  const found = async (query: string) => (await rowsAt(`/?${query}`)).map(({ adTitle }) => adTitle).toSorted()
  const titled = (adTitle: string, more: object = {}) => create({ ...bicycle, adTitle, tags: [], ...more })

  test('finds ads that hold all words, wherever, the last one as a beginning, whatever their case or accents', async () => {
    await titled('Café table', { category: 'furniture', adDescription: 'Marble and iron' })
    await titled('Lamp', { category: 'lights', adDescription: 'For a café', tags: ['marble'] })
    expect(await found('q=CAFE')).toEqual(['Café table', 'Lamp'])
    expect(await found('q=marble+cafe')).toEqual(['Café table', 'Lamp'])
    expect(await found('q=furniture')).toEqual(['Café table'])
    expect(await found('q=cafe+mar')).toEqual(['Café table', 'Lamp'])
    expect(await found('q=mar+cafe')).toEqual([])
    expect(await found('q=lamp+iron')).toEqual([])
  })

  test('takes any text as words, and never as anything else', async () => {
    await titled('Lamp', { adDescription: 'one two three four five six seven eight nine ten eleven twelve' })
    for (const q of ['', '*', '%', '"', '???', '-', '%00', '%ff', '{}', "'"]) expect(await found(`q=${q}`)).toEqual([])
    for (const q of ['lamp*', '"lamp', 'lamp:*', '+lamp', "lamp'", 'lamp"}', 'lamp%00']) {
      expect(await found(`q=${q}`)).toEqual(['Lamp'])
    }
    for (const q of ['NOT+lamp', 'lamp+OR+chair', 'adTitle:lamp', 'lamp^2+~']) {
      expect(await found(`q=${q}`)).toEqual([])
    }
    expect(await found('q=one+two+three+four+five+six+seven+eight+nine+ten+eleven+twelve')).toEqual(['Lamp'])
    expect(await found('q=zero+two+three+four+five+six+seven+eight+nine+ten+eleven+twelve')).toEqual([])
  })

  test('filters by category and price, both inclusive, before it makes pages', async () => {
    for (const price of [10, 20, 30, 40, 50]) {
      await titled(`Lamp ${price}`, { price, category: price === 30 ? 'other' : 'lights' })
    }
    expect(await found('q=lamp&min-price=20&max-price=40')).toEqual(['Lamp 20', 'Lamp 30', 'Lamp 40'])
    expect(await found('q=lamp&category=lights&min-price=20.5')).toEqual(['Lamp 40', 'Lamp 50'])
    expect(await found('q=lamp&category=light')).toEqual([])
    const pages = await pagesOf('/?q=lamp&category=lights&limit=2')
    expect(pages.map((page) => page.length)).toEqual([2, 2])
    for (const price of ['cheap', '', '0x1f', '1e999', 'Infinity']) {
      expectRefused(await caller.get(`/?q=lamp&max-price=${price}`), 'max-price: must be a number')
    }
  })

  test('gives 25 unless it is asked for up to 100', async () => {
    for (let made = 0; made < 30; made++) await titled('Lamp')
    expect((await pagesOf('/?q=lamp')).map((page) => page.length)).toEqual([25, 5])
    expect((await pagesOf('/?q=lamp&limit=30')).map((page) => page.length)).toEqual([30])
    for (const limit of ['0', '101']) expectRefused(await caller.get(`/?q=x&limit=${limit}`), 'limit: must be 1 to 100')
  })

  test('without q leads to the page that shows the routes', async () => {
    for (const path of ['/', '/?category=lights']) {
      const { status, headers } = await caller.get(path)
      expect([status, headers.get('location')]).toEqual([302, '/openapi/'])
    }
  })
})

describe('replay', () => {
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 31, 9, 30) + seconds * 1_000).toISOString()

  test('gives what was recorded of one ad in a range, both ends inclusive', async () => {
    const adId = await create()
    for (const price of [1, 2]) {
      now += 1_000
      await patch(adId, { price })
    }
    now += 1_000
    await remove(adId)
    const versions = async (query: string) => {
      const rows = await rowsAt(`/replay/${adId}?${query}`)
      expect(await rowsAt(`/id/${adId}?${query}`)).toEqual(rows)
      return rows.map(({ version }) => version)
    }
    const [first] = await rowsAt(`/replay/${adId}`)
    expect(first).toEqual({ id: adId, adId, publisherId: 'acme', ...bicycle, version: 0, timestamp: at(0) })
    expect(await versions('')).toEqual([0, 1, 2, 3])
    expect(await versions(`startDateTime=${at(1)}&endDateTime=${at(2)}`)).toEqual([1, 2])
    expect(await versions(`startDateTime=${at(1.001)}`)).toEqual([2, 3])
    expect(await versions(`endDateTime=${at(0.999)}`)).toEqual([0])
    expect(await versions(`startDateTime=${at(3)}&endDateTime=${at(0)}`)).toEqual([])
    expect((await pagesOf(`/replay/${adId}?limit=1&startDateTime=${at(1)}`)).map((page) => page.length)).toEqual([
      1, 1, 1,
    ])
    expectRefused(await caller.get('/replay/unknown'), 'never was', 404)
    for (const wrong of ['yesterday', '2026-01-31', '2026-02-30T00:00:00Z', '2026-01-31T09:30:00', '']) {
      expectRefused(await caller.get(`/replay/${adId}?startDateTime=${wrong}`), 'startDateTime: must be an instant')
      expectRefused(await caller.get(`/replay?endDateTime=${wrong}`), 'endDateTime: must be an instant')
    }
    expect(await head()).toBe(4)
  })

  test('gives what was recorded of all ads in a range, in pages, and nothing of those that were erased', async () => {
    const [one, erased] = [await create(), await create()]
    now += 1_000
    await patch(one, { price: 1 })
    await patch(erased, { price: 2 })
    now += 1_000
    const last = await create(bicycle, 'other')
    await caller.store.forget(adStream(erased), { reasonCode: 'asked' })
    const rows = (page: readonly unknown[]) =>
      page.map((row) => [(row as { id: string }).id, (row as { version: number }).version])
    const all = [
      [one, 0],
      [one, 1],
      [last, 0],
    ]
    expect(rows(await rowsAt('/replay'))).toEqual(all)
    expect(rows(await rowsAt(`/replay?startDateTime=${at(1)}&endDateTime=${at(1)}`))).toEqual([[one, 1]])
    expect((await pagesOf('/replay?limit=2')).flatMap(rows)).toEqual(all)
    expect(await rowsAt(`/replay/${erased}`)).toEqual([])
    expect((await caller.post('/replay')).body).toEqual({ restored: 2 })
  })
})

describe('GET /publisher/{publisher}/ad/{adId}/proof', () => {
  const proofsOf = async (path: string) => (await caller.get(path)).body?.['proofs'] as unknown as readonly EventProof[]

  test('proves each version, also of an ad that was deleted or erased, and what is new as soon as it is asked for', async () => {
    const adId = await create()
    const path = `/publisher/acme/ad/${adId}/proof`
    expect((await caller.get(path)).body?.['verifierKey']).toBe(verifierKey)
    await patch(adId, { price: 1 })
    await remove(adId)
    const checked = (await proofsOf(path)).map((proof) => checkProof(proof, [verifierKey]))
    expect(checked.map(({ event, proven }) => [event?.type, proven])).toEqual([
      ['AdCreated', 'content'],
      ['AdUpdated', 'content'],
      ['AdDeleted', 'content'],
    ])
    const page = await caller.get(`${path}?limit=2`)
    expect(next(page)).toBe('?limit=2&cursor=2')
    expect((await proofsOf(`${path}?limit=2&cursor=2`)).length).toBe(1)
    await caller.store.forget(adStream(adId), { reasonCode: 'asked' })
    const states = (await proofsOf(path)).map(({ state }) => state)
    expect(states).toEqual(['forgotten', 'forgotten', 'forgotten', 'tombstone'])
    expectRefused(await caller.get('/publisher/acme/ad/unknown/proof'), 'has no ad', 404)
  })

  test('is 404 for an ad of another publisher, and where the server keeps no ledger', async () => {
    const adId = await create()
    expectRefused(await caller.get(`/publisher/other/ad/${adId}/proof`), 'has no ad', 404)
    const plain = await callerOf(memoryStorage())
    const answer = await plain.get('/publisher/acme/ad/x/proof')
    expect([answer.status, answer.body?.['message']]).toEqual([404, expect.stringMatching('keeps no ledger')])
    await plain.store.close()
  })
})

describe('where not all words of an ad can be searched', () => {
  test('ads with more of them are found all the same, each once, in pages', async () => {
    const some = await callerOf(memoryStorage(), { words: 8 })
    const adDescription = 'a fine thing of iron and glass and paper with a shade hasmorewordsthanthese'
    const titles = ['Lamp', 'Lamp of stone', 'Lampion']
    for (const adTitle of titles)
      await some.post('/publisher/acme/ad', { ...bicycle, adTitle, adDescription, tags: [] })
    await some.post('/publisher/acme/ad', { ...bicycle, adTitle: 'Lamp', adDescription: 'short', tags: [] })
    const count = async (q: string) => {
      let ads = 0
      for (let at: string | undefined = `/?limit=1&q=${q}`; at !== undefined; ) {
        const answer: Answer = await some.get(at)
        ads += (answer.body as unknown as unknown[]).length
        const link = next(answer)
        at = link && `/${link}`
      }
      return ads
    }
    for (const [q, ads] of [
      ['lamp', 4],
      ['shade', 3],
      ['lamp+shade', 2],
      ['fine+shade', 3],
      ['paper+glas', 3],
      ['hasmorewordsthanthese', 3],
      ['short', 1],
      ['stone+short', 0],
    ] as const) {
      expect([q, await count(q)]).toEqual([q, ads])
    }
    expect((await some.get('/publisher/acme/ad')).text).not.toContain('"words"')
    await some.store.close()
  })
})

describe('the OpenAPI document', () => {
  const application = applicationOf({ verifierKey })
  const document = openApiDocument(application) as { readonly paths: Readonly<Record<string, object>> }

  test('is served and has every route; other methods are 405', async () => {
    expect((await caller.get('/openapi/openapi-spec.json')).body).toEqual(document)
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(operations.toSorted()).toEqual(application.routes.map(({ method, path }) => `${method} ${path}`).toSorted())
    const { status, headers } = await caller.send('PUT', '/publisher/acme/ad')
    expect([status, headers.get('allow')]).toEqual([405, 'POST, GET, HEAD'])
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
    const [creating, updating] = application.routes
    const adId = await create(creating?.body?.example as object)
    const updated = await patch(adId, updating?.body?.example, { headers: json })
    const example = updating?.answer?.example as object
    expect(updated.body).toEqual({ ...example, adId, timestamp: expect.any(String) })
  })
})
