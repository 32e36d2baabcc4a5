/** The server under what only takes time: slow senders, and many random requests over real sockets. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pino from 'pino'
import { afterAll, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { openStore } from '../../src/core/store.ts'
import { serve } from '../../src/hosts/node.ts'
import { memoryStorage } from '../../src/storage/memory/storage.ts'
import { chance, seed, times } from './share.ts'

const store = await openStore(memoryStorage())
const server = await serve({ store, port: 0, logger: pino({ level: 'silent' }) })
const { hostname, port } = new URL(server.url)
afterAll(async () => {
  await server.close()
  await store.close()
})

/** Sends the head, then a byte a second until the server has enough; gives its answer and how long it took. */
async function dribble(head: string): Promise<{ answer: string; ms: number }> {
  const started = performance.now()
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.write(head)
  const timer = setInterval(() => socket.write('x'), 1_000)
  const answer = await text(socket)
  clearInterval(timer)
  return { answer, ms: performance.now() - started }
}

test('who sends headers or a body too slowly is sent away, and others are served meanwhile', async () => {
  const slow = Promise.all([
    dribble('GET / HTTP/1.1\r\nHost: x\r\nX-Slow: '),
    dribble('POST /streams/seat HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n'),
  ])
  const ended = slow.then(() => true)
  while (!(await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 500, false))]))) {
    expect((await fetch(`${server.url}/readiness`)).status).toBe(200)
  }
  const [headers, body] = await slow
  expect(headers.answer).toMatch(/^HTTP\/1\.1 408 /)
  expect(headers.ms).toBeLessThan(limits.headersMs + 5_000)
  expect(body.answer).toMatch(/^HTTP\/1\.1 408 |^$/)
  expect(body.ms).toBeLessThan(limits.requestMs + 5_000)
})

test(`${times(50_000)} random requests meet no 5xx, and the server is alive after them (LONG_SEED=${seed})`, async () => {
  const random = chance(seed)
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
  const noise = (most: number) =>
    String.fromCodePoint(
      ...Array.from({ length: Math.floor(random() * most) }, () => Math.floor(random() * 0xd000) + 1),
    )
  const segments = ['streams', 'seat', '1', 'events', 'details', '2', 'openapi', 'metrics', '%2e%2e', '%00', '%zz', '']
  const values = ['"x"', '1', 'null', '{}', '[[[]]]', '1e999', '{"a":1,"a":2}', '"\\ud800"', '']
  const one = async () => {
    const path = Array.from({ length: Math.floor(random() * 6) }, () =>
      random() < 0.8 ? pick(segments) : encodeURIComponent(noise(20)),
    )
    const method = pick(['GET', 'POST', 'PUT', 'DELETE', 'PATCH'])
    const event = `{"eventType":${pick(values) || '""'},"payload":${pick(values) || '1'}}`
    const body =
      method === 'GET' ? undefined : pick([noise(200), `{"initialEvent":${event}}`, `{"event":${event}}`, pick(values)])
    const headers = random() < 0.2 ? { 'idempotency-key': String(Math.floor(random() * 10)) } : {}
    const url = `${server.url}/${path.join('/')}?after-revision=${encodeURIComponent(pick(values))}`
    const answer = await fetch(url, { method, headers, redirect: 'manual', ...(body !== undefined && { body }) })
    const told = await answer.text()
    expect(answer.status, `${method} ${url} ${body}\n${told}`).toBeLessThan(500)
    if (answer.status >= 400) expect(JSON.parse(told).requestId).toBe(answer.headers.get('x-request-id'))
  }
  for (let done = 0; done < times(50_000); done += 50) await Promise.all(Array.from({ length: 50 }, one))
  expect((await fetch(`${server.url}/readiness`)).status).toBe(200)
})
