import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pino from 'pino'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { openStore, type Store } from '../core/store.ts'
import { keyAccess, openKeys } from '../http/keys.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createMetrics } from './metrics.ts'
import { type ServeOptions, type Server, serve } from './node.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

interface LogLine {
  readonly [name: string]: unknown
}

async function start(options: Partial<ServeOptions> = {}) {
  const lines: LogLine[] = []
  const logger = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) })
  const store = options.store ?? (await openStore(memoryStorage()))
  const server = await serve({ store, port: 0, logger, ...options })
  servers.push(server)
  return { server, store, lines }
}

const create = (url: string) =>
  fetch(`${url}/streams/seat`, { method: 'POST', body: '{"initialEvent":{"eventType":"Reserved","payload":1}}' })

/** Sends bytes as they are, and gives all that comes back until the server closes. */
async function raw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.write(bytes)
  return text(socket)
}

describe('listening', () => {
  test.each(['0.0.0.0', '::', '192.168.1.1', 'example.org', '', '127.0.0.1.example.org', '1270.0.0.1'])(
    'at "%s", beyond this machine, is refused and says how to mend it',
    async (host) => {
      await expect(start({ host })).rejects.toMatchObject({ code: 'invalid-argument', path: 'host' })
      await expect(start({ host })).rejects.toThrow('there are no access rules: make an API key')
    },
  )

  test.each(['127.0.0.1', 'localhost', '127.8.8.8'])('at %s works', async (host) => {
    const { server } = await start({ host })
    expect((await fetch(`${server.url}/liveness-check`)).status).toBe(200)
  })

  test('at a port that is taken is an error that names it', async () => {
    const { server } = await start()
    const port = Number(new URL(server.url).port)
    await expect(start({ port })).rejects.toThrow(`listen on 127.0.0.1:${port}`)
    await expect(start({ port: 70_000 })).rejects.toMatchObject({ code: 'invalid-argument', path: 'port' })
  })
})

test('stopping answers what was accepted, then takes nothing more, also with connections that stay open', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const inner = await openStore(memoryStorage())
  const slow: Store = {
    ...inner,
    async append(...args: Parameters<Store['append']>) {
      await held
      return inner.append(...args)
    },
  }
  const { server } = await start({ store: slow })
  await fetch(`${server.url}/liveness-check`)
  const answer = create(server.url)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const closed = server.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  await expect(fetch(`${server.url}/liveness-check`)).rejects.toThrow()
  release()
  expect((await answer).status).toBe(201)
  await closed
  expect((await inner.info()).head).toBe(1)
})

test('each request is logged with its id; an error that nobody expects with its cause, which the client is not told', async () => {
  const inner = await openStore(memoryStorage())
  const broken: Store = { ...inner, append: () => Promise.reject(new Error('the secret inside')) }
  const { server, lines } = await start({ store: broken })
  const answer = await create(server.url)
  const problem = (await answer.json()) as { requestId: string }
  expect(answer.status).toBe(500)
  expect(JSON.stringify(problem)).not.toContain('secret')
  const logged = lines.filter(({ requestId }) => requestId === problem.requestId)
  expect(logged).toMatchObject([
    { msg: 'request failed', err: { message: 'the secret inside', stack: expect.stringContaining('node.test.ts') } },
    { msg: 'request completed', method: 'POST', path: '/streams/seat', status: 500 },
  ])
})

test('what is no HTTP, or too much of it, is answered by its status, and the server lives on', async () => {
  const { server } = await start()
  const get = (headers: string) =>
    raw(server.url, `GET /liveness-check HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`)
  expect(await get('')).toMatch(/^HTTP\/1\.1 200 /)
  expect(await get(`X-Large: ${'x'.repeat(20_000)}\r\n`)).toMatch(/^HTTP\/1\.1 431 /)
  expect(await get(Array.from({ length: 3_000 }, (_, index) => `X-${index}: 1\r\n`).join(''))).toMatch(
    /^HTTP\/1\.1 (431|200) /,
  )
  expect(await raw(server.url, '\u0000\u0001nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  expect(await raw(server.url, 'GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  expect(await raw(server.url, 'GET /a\u0000b HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  const smuggled =
    'POST /streams/seat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  expect(await raw(server.url, smuggled)).toMatch(/^HTTP\/1\.1 400 /)
  const lied = 'POST /streams/seat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n{}'
  expect(await raw(server.url, lied)).toMatch(/^HTTP\/1\.1 413 /)
  expect((await fetch(`${server.url}/readiness`)).status).toBe(200)
})

test('the metrics tell requests by route and status, the head and what the storage tells of itself', async () => {
  const { server, store } = await start()
  await create(server.url)
  await store.append('seat/1', [{ type: 'Reserved' }])
  await fetch(`${server.url}/streams/seat/1/events/7`, { method: 'PUT', body: '{}' })
  await fetch(`${server.url}/some/other/path`, { method: 'POST' })
  const answer = await fetch(`${server.url}/metrics`)
  const metrics = await answer.text()
  expect(answer.headers.get('content-type')).toContain('text/plain')
  expect(metrics).toContain(
    'daybook_http_request_seconds_count{method="POST",route="/streams/{streamType}",status="201"} 1',
  )
  const put = '/streams/{streamType}/{streamId}/events/{streamRevision}'
  expect(metrics).toContain(`daybook_http_request_seconds_count{method="PUT",route="${put}",status="400"} 1`)
  expect(metrics).toContain('daybook_http_request_seconds_count{method="POST",route="other",status="404"} 1')
  expect(metrics).toContain('daybook_log_head 2')
  expect(metrics).toContain('process_resident_memory_bytes')
})

test('the metrics tell appends by outcome, calls, groups, and how far the slowest feed is behind', async () => {
  const metrics = createMetrics()
  const store = await openStore(memoryStorage(), { observer: { ended: metrics.ended } })
  const { server } = await start({ store, metrics })
  const events = [{ type: 'Reserved', id: 'a' }, { type: 'Freed' }]
  await store.append('seat/1', events, { expected: 0 })
  await store.append('seat/1', [{ type: 'Reserved', id: 'a' }]).catch(() => {})
  await store.append('seat/1', [{ type: 'Reserved' }], { expected: 0 }).catch(() => {})
  await Promise.all([1, 2, 3].map((id) => store.append(`seat/${id + 1}`, [{ type: 'Reserved' }])))
  await store.append('seat/9', [{ type: 'Reserved', id: 'b' }])
  await store.append('seat/9', [{ type: 'Reserved', id: 'b' }])
  const left = new AbortController()
  const feed = await fetch(`${server.url}/log`, { headers: { accept: 'text/event-stream' }, signal: left.signal })
  await feed.body?.getReader().read()
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const lines = text.split('\n')
  expect(lines).toContain('daybook_appends_total{outcome="committed"} 5')
  expect(lines).toContain('daybook_appends_total{outcome="repeated"} 2')
  expect(lines).toContain('daybook_appends_total{outcome="revision-conflict"} 1')
  expect(lines).toContain('daybook_events_appended_total 6')
  expect(lines).toContain('daybook_commit_group_size_bucket{le="2"} 5')
  expect(lines).toContain('daybook_commit_group_size_bucket{le="4"} 6')
  expect(lines).toContain('daybook_call_seconds_count{layer="store",call="append",outcome="revision-conflict"} 1')
  expect(text).toMatch(/daybook_call_seconds_count{layer="storage",call="read the log",outcome="done"} \d+/)
  expect(lines).toContain('daybook_feed_subscribers 1')
  expect(text).toMatch(/daybook_feed_lag_events \d+/)
  left.abort()
})

test('a principal that asks more often than it may is sent away for a while', async () => {
  const { server } = await start({ ratePerSecond: 5 })
  const answers = await Promise.all(Array.from({ length: 8 }, () => fetch(`${server.url}/stream-types`)))
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused.length).toBe(3)
  expect(refused[0]?.headers.get('retry-after')).toBe('1')
  expect(await refused[0]?.json()).toMatchObject({ retryAfterMs: expect.any(Number) })
  expect((await fetch(`${server.url}/liveness-check`)).status).toBe(200)
  await expect(start({ ratePerSecond: 0 })).rejects.toMatchObject({ path: 'ratePerSecond' })
})

test('with access rules it may listen beyond this machine, and is asked by any name', async () => {
  const storage = memoryStorage()
  const { token } = await (await openKeys(storage)).add({ name: 'ci', scopes: ['*'] })
  const store = await openStore(storage)
  const { server } = await start({ store, host: '0.0.0.0', access: { keys: keyAccess(storage) } })
  const { port } = new URL(server.url)
  const headers = { host: 'events.example.org' }
  const url = `http://127.0.0.1:${port}/stream-types`
  expect((await fetch(url, { headers })).status).toBe(401)
  expect((await fetch(url, { headers: { ...headers, authorization: `Bearer ${token}` } })).status).toBe(200)
  await expect(start({ host: '0.0.0.0', access: {} })).rejects.toMatchObject({ path: 'host' })
})

test('a feed that is idle shows that it lives, and ends when the server stops', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  try {
    const { server } = await start()
    const feed = await fetch(`${server.url}/log`, { headers: { accept: 'text/event-stream' } })
    const chunks: string[] = []
    const reading = (async () => {
      for await (const chunk of feed.body ?? []) chunks.push(Buffer.from(chunk).toString())
    })()
    await vi.waitFor(() => expect(chunks.join('')).toContain('event: caught-up'))
    vi.advanceTimersByTime(15_000)
    await vi.waitFor(() => expect(chunks.join('')).toContain(': keep-alive'))
    vi.useRealTimers()
    await server.close()
    await reading
  } finally {
    vi.useRealTimers()
  }
})

test('the interactive page and all that it loads come from the server itself', async () => {
  const { server } = await start()
  const page = await fetch(`${server.url}/openapi/`)
  const html = await page.text()
  expect(page.headers.get('content-security-policy')).toContain("default-src 'self'")
  expect(html).not.toMatch(/https?:\/\//)
  const files = [...html.matchAll(/(?:src|href)="([^":]+)"/g)].map(([, file]) => file)
  expect(files).toEqual(['swagger-ui.css', 'swagger-ui-bundle.js', 'openapi.js'])
  for (const file of files) {
    const answer = await fetch(`${server.url}/openapi/${file}`)
    expect([answer.status, (await answer.text()).length > 50]).toEqual([200, true])
  }
  const unknown = await fetch(`${server.url}/openapi/..%2fpackage.json`, { redirect: 'manual' })
  expect(unknown.status).toBe(301)
})
