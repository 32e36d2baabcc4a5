/** A million requests that nobody should send, over real sockets, to a server of its own process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { chance, seed, times } from './share.ts'

const total = times(1_000_000)
const callers = 50
const random = chance(seed)
const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
const often = (share: number) => random() < share
const noise = (most: number) =>
  String.fromCodePoint(...Array.from({ length: Math.floor(random() * most) }, () => 1 + Math.floor(random() * 0xd7fe)))

interface Hostile {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer
}

const ids = [
  '1',
  '2',
  'a%20b',
  '%00',
  '%0d%0aX-Injected:%201',
  '..',
  '%2e%2e',
  '%2f',
  '%zz',
  '%F0%9F%8E%AB',
  'x'.repeat(300),
]
const types = ['seat', 'show', '$keys', 'a%20b', '', '%0a', 'x'.repeat(65), '__proto__', 'constructor']
/** Another one from time to time, for what was forgotten takes nothing any more. */
let sent = 0
const fresh = () => `case-${Math.floor(sent++ / 2_000)}`
const type = () => (often(0.7) ? 'seat' : pick(types))
const id = () => (often(0.7) ? fresh() : pick(ids))
const revision = () => pick(['1', '2', '0', '-1', '9007199254740993', '1e3', 'NaN', ''])

const parameters = [
  'after',
  'until',
  'until-position',
  'after-revision',
  'until-revision',
  'limit',
  'direction',
  'cursor',
  'log-id',
  'stream-type',
  'event-type',
  'tag',
  'updated-after',
  'nextPageKey',
  '__proto__',
]
const values = [
  '0',
  '1',
  '-1',
  '1001',
  '1e400',
  'forwards',
  'backwards',
  '2026-01-01T00:00:00Z',
  '9999-12-31T23:59:60Z',
  'seat',
  '',
  '%00',
  '%ff',
  '0x10',
  '9007199254740993',
]
const queries = () =>
  often(0.5)
    ? ''
    : `?${Array.from({ length: Math.floor(random() * 5) }, () => `${pick(parameters)}=${often(0.8) ? pick(values) : encodeURIComponent(noise(10))}`).join('&')}`

const json = [
  'null',
  'true',
  '0',
  '-0',
  '1e999',
  '9007199254740993',
  '0.1',
  '"x"',
  '""',
  '"\\ud800"',
  '"\\u0000"',
  '[]',
  '{}',
  '[[[]]]',
  '{"a":1,"a":2}',
  '{"__proto__":{"x":1}}',
  '{"constructor":1}',
  '{"a":',
]
/** For the most part what is good, else anything. */
const mostly = (good: readonly string[]) => pick(often(0.8) ? good : json)
const event = () =>
  `{"type":${often(0.7) ? '"A"' : pick(json)},"data":${mostly(['1', '2', '"x"'])}${often(0.3) ? `,"tags":${mostly(['["x"]', '["x","y"]'])}` : ''}${often(0.2) ? `,"id":${mostly([`"${fresh()}"`])}` : ''}${often(0.2) ? `,"meta":${pick(json)}` : ''}}`
const condition = () => (often(0.5) ? '' : `,"condition":{"query":${query()},"guard":${pick(json)}}`)
const query = () => `[{"types":${pick(['["A"]', ...json])},"tags":${pick(['["x"]', ...json])}}]`
const deep = Buffer.from(`{"events":${'['.repeat(50_000)}${']'.repeat(50_000)}}`)
const bomb = gzipSync(Buffer.alloc(20_000_000, 0x20))
interface Target {
  readonly method: string
  readonly path: () => string
  readonly body?: () => string
}

const get = (path: () => string): Target => ({ method: 'GET', path })
const post = (path: () => string, body: () => string): Target => ({ method: 'POST', path, body })
const targets: readonly Target[] = [
  get(() => `/streams/${type()}`),
  get(() => `/streams/${type()}/${id()}`),
  get(() => `/streams/${type()}/${id()}/events`),
  get(() => `/streams/${type()}/${id()}/details`),
  ...['/streams', '/log', '/stream-types', '/info', '/readiness', '/../../etc/passwd'].map((path) => get(() => path)),
  get(() => '/openapi/..%2f..%2fpackage.json'),
  get(() => `/${encodeURIComponent(noise(20))}`),
  post(
    () => `/streams/${type()}`,
    () => `{"initialEvent":{"eventType":"A","payload":${mostly(['1', '"x"'])}}}`,
  ),
  {
    method: 'PUT',
    path: () => `/streams/${type()}/${id()}/events/${revision()}`,
    body: () => `{"event":{"eventType":${mostly(['"A"'])},"payload":1}}`,
  },
  post(
    () => `/streams/${type()}/${id()}/events`,
    () => `{"events":[${event()},${event()}],"expected":${mostly(['0', '"any"', '"exists"'])}}`,
  ),
  post(
    () => '/append',
    () => `{"appends":[{"stream":${mostly([`"seat/${fresh()}"`])},"events":[${event()}]}]${condition()}}`,
  ),
  post(
    () => '/boundary',
    () => `{"query":${query()},"after":${mostly(['0', '1'])}}`,
  ),
  post(
    () => `/streams/${type()}/${id()}/forget`,
    () => `{"reasonCode":${mostly(['"asked"'])}${often(0.9) ? '' : `,"tombstone":${pick(json)}`}}`,
  ),
]

/** For the most part what the target takes, cut off now and then; else anything. */
function bodyOf({ body }: Target): Buffer {
  if (often(0.001)) return deep
  const text = body && often(0.8) ? body() : pick([pick(json), noise(200)])
  return Buffer.from(often(0.05) ? text.slice(0, Math.floor(random() * text.length)) : text)
}

function hostile(): Hostile {
  const target = pick(targets)
  const method = often(0.8) ? target.method : pick(['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS'])
  const path = target.path() + queries()
  const headers: Record<string, string> = {}
  if (often(0.3)) headers['idempotency-key'] = pick(['1', '2', '3', 'x'.repeat(300), ' '])
  if (often(0.2))
    headers['accept'] = pick(['application/x-ndjson', 'text/event-stream', '*/*;q=0', 'text/html', 'a/b,'.repeat(50)])
  if (often(0.1)) headers['last-event-id'] = pick(['x', 'log:1', ':', `${'x'.repeat(64)}:999999999999999`])
  if (often(0.1)) headers['if-none-match'] = pick(['*', '"x"', 'W/', '"'.repeat(100)])
  if (often(0.1)) headers['traceparent'] = pick(['00-0-0-00', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, 'x'])
  if (often(0.1))
    headers['authorization'] = pick(['Bearer x', 'Basic eA==', `Bearer daybook_${'0'.repeat(16)}_${'0'.repeat(64)}`])
  if (often(0.05)) headers['accept-encoding'] = pick(['gzip', 'br', 'deflate;q=x', '*'])
  if (often(0.02)) headers['origin'] = pick(['https://evil.example', 'null', server.url])
  if (method === 'GET' || method === 'HEAD') return { method, path, headers }
  if (often(0.002)) return { method, path, headers: { ...headers, 'content-encoding': 'gzip' }, body: bomb }
  if (often(0.02)) headers['content-encoding'] = pick(['gzip', 'deflate', 'br', 'identity', 'gzip, gzip'])
  return { method, path, headers, body: bodyOf(target) }
}

const folder = mkdtempSync(join(tmpdir(), 'daybook-hostile-'))
const server = { url: '', failures: '' }

async function start() {
  const bin = fileURLToPath(new URL('../../bin/daybook.js', import.meta.url))
  const args = [
    '--disable-warning=ExperimentalWarning',
    '--max-semi-space-size=4',
    bin,
    'serve',
    '--store',
    `sqlite:${folder}/hostile.db`,
    '--port',
    '0',
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    server.url ||= /"url":"([^"]+)"/.exec(text)?.[1] ?? ''
    // What the server holds to be its own fault.
    if (text.includes('"level":50')) server.failures += text
  })
  while (server.url === '') await new Promise((resolve) => setTimeout(resolve, 20))
  return child
}

const agent = new Agent({ keepAlive: true, maxSockets: callers })

/** The status, and for what is no success the problem; a feed is left after its first words. */
function send({ method, path, headers, body }: Hostile): Promise<{ status: number; problem: string; id: unknown }> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(body.length) }
    const sent = request(
      { agent, hostname, port, method, path, headers: { ...headers, ...length } },
      (answer: IncomingMessage) => {
        const status = answer.statusCode ?? 0
        const packed = answer.headers['content-encoding'] !== undefined
        const id = answer.headers['x-request-id']
        if (answer.headers['x-injected'] !== undefined) reject(new Error(`${path} brought a header in`))
        const done = (problem: string) => resolve({ status, problem: packed ? '' : problem, id })
        if (answer.headers['content-type'] === 'text/event-stream') {
          answer.once('data', () => {
            answer.destroy()
            done('')
          })
          return
        }
        let text = ''
        if (status < 400) answer.resume()
        else answer.on('data', (chunk: Buffer) => (text += chunk))
        answer.once('end', () => done(text))
        answer.once('error', reject)
      },
    )
    // A body that is refused while it is still being sent breaks the connection.
    sent.once('error', (error: NodeJS.ErrnoException) =>
      ['ECONNRESET', 'EPIPE'].includes(error.code ?? '')
        ? resolve({ status: 413, problem: '', id: '' })
        : reject(error),
    )
    sent.end(body)
  })
}

async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

test(`${total} hostile requests meet no 5xx and leave nothing behind (LONG_SEED=${seed})`, async () => {
  const child = await start()
  try {
    const statuses = new Map<number, number>()
    const run = async (count: number) => {
      let left = count
      const caller = async () => {
        while (left-- > 0) {
          const asked = hostile()
          const { status, problem, id } = await send(asked)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
          // 501 and 503 are honest answers, but nothing here leads to them.
          if (status >= 500 || status < 200) expect.fail(`${status} for ${JSON.stringify(asked)}: ${problem}`)
          if (problem !== '' && JSON.parse(problem).requestId !== id) expect.fail(problem)
        }
      }
      await Promise.all(Array.from({ length: callers }, caller))
    }
    await run(total / 2)
    const before = await gauge('process_resident_memory_bytes')
    await run(total / 2)
    const after = await gauge('process_resident_memory_bytes')
    expect([...statuses.keys()].sort((a, b) => a - b)).toEqual(
      expect.arrayContaining([200, 201, 400, 404, 405, 409, 422]),
    )
    expect(server.failures).toBe('')
    expect((after - before) / 1_048_576, 'megabytes more').toBeLessThan(80)
    expect(await gauge('daybook_feed_subscribers')).toBe(0)
    expect((await fetch(`${server.url}/readiness`)).status).toBe(200)
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
    agent.destroy()
    rmSync(folder, { recursive: true, force: true })
  }
})
