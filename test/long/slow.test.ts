/** The server under what only takes time: slow senders. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pino from 'pino'
import { afterAll, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { openStore } from '../../src/core/store.ts'
import { serve } from '../../src/hosts/node.ts'
import { memoryStorage } from '../../src/storage/memory/storage.ts'

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
    dribble('GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: '),
    dribble('POST /streams/seat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n'),
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
