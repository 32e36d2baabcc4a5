import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { afterEach, describe, expect, test } from 'vitest'
import { range } from '../conformance/kit.ts'
import { until } from '../conformance/store/kit.ts'
import { openStore, type Store } from '../core/store.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createApp } from './app.ts'
import type { Feed } from './route.ts'

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const { close } of opened.splice(0)) await close()
})

async function open() {
  const store = await openStore(memoryStorage())
  const closing = new AbortController()
  let feeds: ReadonlySet<Feed> = new Set()
  const metrics = {
    observe() {},
    async print(those: ReadonlySet<Feed>) {
      feeds = those
      return new Response('')
    },
  }
  const app = createApp({ store, version: '0.0.0', closing: closing.signal, metrics })
  const get = (path: string, headers: Record<string, string> = {}) =>
    app.fetch(new Request(`http://localhost${path}`, { headers }))
  await get('/metrics')
  opened.push({
    async close() {
      closing.abort()
      await store.close()
    },
  })
  return { store, get, closing, feeds }
}

const ndjson = { accept: 'application/x-ndjson' }
const sse = { accept: 'text/event-stream' }

async function fill(store: Store, events: number): Promise<void> {
  for (let written = 0; written < events; written += 100) {
    await store.append(
      `seat/${written / 100}`,
      range(1, 100).map((data) => ({ type: data % 2 ? 'Odd' : 'Even', data })),
    )
  }
}

/** The messages of a feed as they come; `leave` ends it from the client's side. */
function listen(response: Response) {
  const messages: EventSourceMessage[] = []
  const comments: string[] = []
  const parser = createParser({ onEvent: (event) => messages.push(event), onComment: (text) => comments.push(text) })
  const reader = (response.body ?? new ReadableStream()).getReader()
  const decoder = new TextDecoder()
  const done = (async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parser.feed(decoder.decode(part.value, { stream: true }))
    }
  })()
  return { messages, comments, done, leave: () => reader.cancel() }
}

const positions = (messages: readonly EventSourceMessage[]) =>
  messages.filter(({ event }) => event === undefined).map(({ data }) => JSON.parse(data).position)

describe('the log as NDJSON', () => {
  test('is everything up to the head, one entry a line, filtered and ranged as asked', async () => {
    const { store, get } = await open()
    await fill(store, 1_000)
    const lines = async (query: string) =>
      (await (await get(`/log?${query}`, ndjson)).text())
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line).position)
    expect(await lines('')).toEqual(range(1, 1_000))
    expect(await lines('after=990')).toEqual(range(991, 1_000))
    expect(await lines('until-position=3')).toEqual([1, 2, 3])
    expect(await lines('direction=backwards&limit=2')).toEqual([1_000, 999])
    expect(await lines('stream-type=none')).toEqual([])
    expect(await lines('event-type=Odd&limit=2')).toEqual([1, 3])
    const { headers } = await get('/log', ndjson)
    expect([headers.get('content-type'), headers.get('cache-control')]).toEqual(['application/x-ndjson', 'no-store'])
  })

  test('a client that leaves ends the reading', async () => {
    const { store, get } = await open()
    await fill(store, 1_000)
    const { body } = await get('/log', ndjson)
    const reader = body?.getReader()
    await reader?.read()
    await reader?.cancel()
    await expect(reader?.closed).resolves.toBeUndefined()
  })
})

describe('the log as server-sent events', () => {
  test('gives what is there, says that it has caught up, and goes on with what comes', async () => {
    const { store, get } = await open()
    await store.append('seat/1', [{ type: 'Reserved' }, { type: 'Freed' }])
    const { logId } = await store.info()
    const response = await get('/log', sse)
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const { messages, done, leave } = listen(response)
    await until(() => messages.length === 3)
    expect(messages.map(({ event, id }) => [event, id])).toEqual([
      [undefined, `${logId}:1`],
      [undefined, `${logId}:2`],
      ['caught-up', `${logId}:2`],
    ])
    expect(JSON.parse(messages[0]?.data ?? '')).toMatchObject({ stream: 'seat/1', revision: 1, type: 'Reserved' })
    await store.append('seat/2', [{ type: 'Reserved' }])
    await until(() => messages.length === 5)
    expect([positions(messages), messages[4]?.data]).toEqual([[1, 2, 3], '{"position":3}'])
    await leave()
    await done
  })

  test('goes on after the last id that came, also past what the filter left out', async () => {
    const { store, get } = await open()
    await store.append('seat/1', [{ type: 'Reserved' }, { type: 'Freed' }, { type: 'Reserved' }])
    const { logId } = await store.info()
    const resumed = listen(await get('/log?after=0', { ...sse, 'last-event-id': `${logId}:2` }))
    await until(() => resumed.messages.length === 2)
    expect(positions(resumed.messages)).toEqual([3])
    const filtered = listen(await get('/log?event-type=Freed', sse))
    await until(() => filtered.messages.length === 2)
    expect(filtered.messages[1]?.id).toBe(`${logId}:3`)
    await resumed.leave()
    await filtered.leave()
  })

  test('what cannot begin is a problem, and not an empty feed', async () => {
    const { store, get } = await open()
    await store.append('seat/1', [{ type: 'Reserved' }])
    const status = async (path: string, headers = {}) => (await get(path, { ...sse, ...headers })).status
    expect(await status('/log?after=2')).toBe(409)
    expect(await status('/log?log-id=another')).toBe(409)
    expect(await status('/log', { 'last-event-id': 'another:1' })).toBe(409)
    expect(await status('/log', { 'last-event-id': 'nonsense' })).toBe(400)
    for (const query of ['until-position=1', 'until=2026-01-01T00:00:00Z', 'direction=backwards', 'limit=1']) {
      expect(await status(`/log?${query}`)).toBe(400)
    }
  })

  test('a client that reads slowly is waited for, and loses nothing', async () => {
    const { store, get, feeds } = await open()
    await fill(store, 5_000)
    const response = await get('/log', sse)
    await new Promise((resolve) => setTimeout(resolve, 100))
    // Some hundred kilobytes are on their way, and the rest has not been read.
    expect([...feeds][0]?.position).toBeLessThan(4_000)
    const { messages, leave } = listen(response)
    await until(() => messages.at(-1)?.event === 'caught-up')
    expect(positions(messages)).toEqual(range(1, 5_000))
    await leave()
  })

  test('who leaves is no subscriber any more; when the server stops, every feed ends', async () => {
    const { store, get, feeds, closing } = await open()
    await store.append('seat/1', [{ type: 'Reserved' }])
    const one = listen(await get('/log', sse))
    const other = listen(await get('/log', sse))
    await until(() => other.messages.length === 2)
    expect(feeds.size).toBe(2)
    await one.leave()
    await until(() => feeds.size === 1)
    closing.abort()
    await other.done
    expect(feeds.size).toBe(0)
  })

  test('asked for by HEAD it begins nothing', async () => {
    const { store, feeds } = await open()
    const app = createApp({ store, version: '0.0.0' })
    const response = await app.fetch(new Request('http://localhost/log', { method: 'HEAD', headers: sse }))
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(feeds.size).toBe(0)
  })
})
