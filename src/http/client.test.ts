/** What the client does beside keeping the store's contract, which `test/client.test.ts` holds it to. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import pino from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { collect, until } from '../conformance/store/kit.ts'
import type { OutcomeUnknown } from '../core/errors.ts'
import { openStore, type Store } from '../core/store.ts'
import { serve } from '../hosts/node.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { type ClientOptions, createClient } from './client.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function open(options: Partial<ClientOptions> = {}, wrap: (store: Store) => Store = (store) => store) {
  const store = await openStore(memoryStorage())
  const server = await serve({ store: wrap(store), port: 0, logger: pino({ level: 'silent' }) })
  const client = createClient({ url: server.url, ...options })
  closers.push(
    () => store.close(),
    () => server.close(),
    () => client.close(),
  )
  return { store, server, client, url: server.url }
}

/** A server that is none of ours, for answers that ours would not give. */
async function stranger(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  closers.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const one = [{ type: 'Reserved' }]

test('what is declared in the store holds for every client, and a repeat of what was before is answered', async () => {
  const { client, store, url } = await open()
  const event = { type: 'Reserved', id: 'mine', data: 7 }
  await client.append('seat/1', [event], { expected: 0 })
  const schema = { type: 'object', properties: { by: { type: 'string' } }, required: ['by'] }
  await store.eventTypes.declare({ type: 'Reserved', version: 1, schema, upcast: [{ move: '', to: '/by' }] })
  await expect(client.append('seat/1', [{ type: 'Reserved', data: { by: 7 } }])).rejects.toMatchObject({
    ...{ code: 'schema-violation', eventType: 'Reserved', path: 'events[0].data' },
    issues: [{ path: 'data.by', message: 'must be string' }],
  })
  const initialEvent = { eventType: 'Reserved', payload: {} }
  const created = await fetch(`${url}/streams/seat`, { method: 'POST', body: JSON.stringify({ initialEvent }) })
  expect([created.status, ((await created.json()) as { type: string }).type]).toEqual([
    400,
    'urn:daybook:problem:schema-violation',
  ])
  expect(await client.append('seat/1', [event], { expected: 0 })).toMatchObject({ repeated: true, revision: 1 })
  expect((await collect(client.read('seat/1'))).map(({ data, meta }) => [data, meta])).toEqual([[{ by: 7 }, null]])
})

describe('an append whose answer is lost', () => {
  test('is sent again, and recorded once', async () => {
    let lost = 2
    const unsteady: typeof fetch = async (...request) => {
      const response = await fetch(...request)
      if (lost-- <= 0) return response
      await response.body?.cancel()
      throw new TypeError('the connection broke')
    }
    const { client, store } = await open({ fetch: unsteady })
    const { revision, repeated } = await client.append('seat/1', [{ type: 'A' }, { type: 'B' }], { expected: 0 })
    expect([revision, repeated, (await store.info()).head]).toEqual([2, true, 2])
  })

  test('however often is told as unknown, with the ids that make it safe to repeat', async () => {
    const broken: typeof fetch = async (...request) => {
      await (await fetch(...request)).body?.cancel()
      throw new TypeError('the connection broke')
    }
    const { store, url } = await open()
    const client = createClient({ url, fetch: broken, tries: 2 })
    const error = await client.append('seat/1', one).catch((error: OutcomeUnknown) => error)
    expect(error).toMatchObject({ code: 'outcome-unknown', ids: [expect.any(String)] })
    expect(error).toMatchObject({ cause: { code: 'server-unreachable', url } })
    const [id = ''] = (error as OutcomeUnknown).ids
    expect((await store.append('seat/1', [{ ...one[0], type: 'Reserved', id }])).repeated).toBe(true)
    await expect(client.readPage('seat/1')).rejects.toMatchObject({ code: 'server-unreachable' })
  })

  test('by a proxy that gave up is unknown too; one that refuses it is not', async () => {
    let status = 502
    let asked = 0
    const url = await stranger((_, response) => {
      asked++
      response.writeHead(status).end('<html>Bad gateway</html>')
    })
    const client = createClient({ url, tries: 2 })
    const cause = { code: 'request-failed', status: 502 }
    await expect(client.append('seat/1', one)).rejects.toMatchObject({ code: 'outcome-unknown', cause })
    expect(asked).toBe(2)
    status = 404
    await expect(client.append('seat/1', one)).rejects.toMatchObject({ code: 'request-failed', status: 404 })
    status = 301
    await expect(client.append('seat/1', one)).rejects.toMatchObject({ code: 'request-failed', status: 301 })
    expect(asked).toBe(4)
  })
})

describe('errors', () => {
  test('are those of the store, with the id of the request in the log of the server', async () => {
    const { client } = await open()
    await client.append('seat/1', one)
    const conflict = { name: 'RevisionConflict', code: 'revision-conflict', stream: 'seat/1', expected: 0, actual: 1 }
    await expect(client.append('seat/1', one, { expected: 0 })).rejects.toMatchObject({
      ...conflict,
      message: 'Stream "seat/1" was expected to be new, and is at revision 1',
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      stack: expect.stringContaining('client.test.ts'),
    })
    await expect(client.readLogPage({ after: 7 })).rejects.toMatchObject({ code: 'position-beyond-head', head: 1 })
  })

  test('that nobody expected, and those of a server that is busy, are tried again within bounds', async () => {
    let asked = 0
    const { client } = await open({ tries: 3 }, (store) => ({
      ...store,
      streamTypes() {
        asked++
        return asked < 3 ? Promise.reject(new Error('the secret inside')) : store.streamTypes()
      },
    }))
    expect(await client.streamTypes()).toEqual([])
    expect(asked).toBe(3)
    asked = -7
    const failed = await client.streamTypes().catch((error) => error)
    expect(failed).toMatchObject({ code: 'request-failed', status: 500, requestId: expect.any(String) })
    expect(failed.message).not.toContain('secret')
  })

  test('of what only a storage in the same process can do come at once', async () => {
    const { client } = await open()
    const appends = [{ stream: 'seat/1', events: [{ type: 'Happened' }] }]
    await expect(client.appendWithin({}, appends)).rejects.toMatchObject({ code: 'unsupported' })
  })

  test('of options that cannot work come at once', () => {
    const bad = [
      { url: 'nonsense' },
      { url: 'ftp://a.example' },
      { url: 'http://a.example/?x=1' },
      { url: 'http://user:secret@a.example' },
      { url: 'http://a.example', timeoutMs: 0 },
      { url: 'http://a.example', tries: 0.5 },
    ]
    for (const options of bad) {
      expect(() => createClient(options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    }
  })
})

describe('time', () => {
  test('of a server that does not answer runs out, try by try', async () => {
    let asked = 0
    const url = await stranger(() => {
      asked++
    })
    const client = createClient({ url, timeoutMs: 50, tries: 2 })
    await expect(client.info()).rejects.toMatchObject({ code: 'server-unreachable' })
    expect(asked).toBe(2)
  })

  test('is over when the caller aborts, with the reason of the caller', async () => {
    const url = await stranger(() => {})
    const client = createClient({ url })
    const ended = new AbortController()
    const reading = collect(client.readLog({ signal: ended.signal }))
    ended.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
  })

  test('for what is under way is given when the client closes, and for nothing more', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const { client } = await open({}, (store) => ({
      ...store,
      async appendMany(...args: Parameters<Store['appendMany']>) {
        await held
        return store.appendMany(...args)
      },
    }))
    const appended = client.append('seat/1', one)
    const closed = client.close()
    await expect(client.info()).rejects.toMatchObject({ code: 'store-closed' })
    release()
    expect((await appended).revision).toBe(1)
    await closed
  })
})

describe('credentials', () => {
  test('are asked for before each try, and what goes wrong there is the caller’s own', async () => {
    const seen: unknown[] = []
    const url = await stranger((request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(seen.length < 3 ? 503 : 200).end('{"streamTypes":[]}')
    })
    let made = 0
    const client = createClient({ url, token: async () => `token-${++made}` })
    await client.streamTypes()
    expect(seen).toEqual(['Bearer token-1', 'Bearer token-2', 'Bearer token-3'])
    const failing = createClient({ url, token: () => Promise.reject(new Error('no token today')) })
    await expect(failing.append('seat/1', one)).rejects.toThrow('no token today')
    expect(seen.length).toBe(3)
  })
})

describe('a trace', () => {
  test('is written into meta once, and never where the caller gave ids or a trace of his own', async () => {
    let asked = 0
    const { client, store } = await open({ traceparent: () => `trace-${++asked}` })
    await client.append('seat/1', [{ type: 'A' }, { type: 'B', meta: { traceparent: 'own', a: 1 } }])
    await client.append('seat/1', [{ type: 'C', id: 'own' }])
    const metas = (await collect(store.read('seat/1'))).map(({ meta }) => meta)
    expect(metas).toEqual([{ traceparent: 'trace-1' }, { traceparent: 'own', a: 1 }, null])
  })
})

describe('a subscription', () => {
  test('goes on after a break where it was, and says so', async () => {
    const { client, store, server, url } = await open()
    await store.append('seat/1', [{ type: 'A' }, { type: 'B' }])
    const ended = new AbortController()
    const seen: unknown[] = []
    const troubles: unknown[] = []
    const onTrouble = (error: unknown, retryInMs: number) => {
      troubles.push((error as { code: string }).code)
      expect(retryInMs).toBeGreaterThan(0)
    }
    const following = (async () => {
      for await (const { position } of client.subscribe({ signal: ended.signal, onTrouble })) seen.push(position)
    })()
    await until(() => seen.length === 2)
    await server.close()
    await store.append('seat/1', [{ type: 'C' }])
    await until(() => troubles.length > 1)
    const again = await serve({ store, port: Number(new URL(url).port), logger: pino({ level: 'silent' }) })
    closers.push(() => again.close())
    await store.append('seat/1', [{ type: 'D' }])
    await until(() => seen.length === 4)
    ended.abort()
    await following
    expect([seen, new Set(troubles)]).toEqual([[1, 2, 3, 4], new Set(['server-unreachable'])])
  })

  test('of which nobody is told of trouble gives up in the end, and at once over what cannot heal', async () => {
    const url = await stranger((_, response) => {
      response.writeHead(403, { 'content-type': 'application/problem+json' })
      response.end('{"type":"urn:daybook:problem:forbidden","status":403,"message":"no","scope":"read:*"}')
    })
    await expect(collect(createClient({ url }).subscribe())).rejects.toMatchObject({
      code: 'forbidden',
      scope: 'read:*',
    })
  })
})
