import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { openStore } from '../core/store.ts'
import type { Clock } from '../core/time.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import type { Access } from './access.ts'
import { type AppOptions, createApp } from './app.ts'
import { jwtAccess } from './jwt.ts'
import { keyAccess, openKeys } from './keys.ts'
import type { Asked } from './route.ts'
import { routes } from './routes.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

interface LogLine {
  readonly [name: string]: unknown
}

async function open(access: (storage: ReturnType<typeof memoryStorage>) => Access, options: Partial<AppOptions> = {}) {
  const storage = memoryStorage()
  const store = await openStore(storage)
  const lines: LogLine[] = []
  const log = { info: (facts: object) => lines.push({ ...facts }), error: () => {} }
  const metrics = { observe() {}, print: async () => new Response('metrics') }
  const app = createApp({ store, version: '0.0.0', access: access(storage), log, metrics, ...options })
  const send = async (method: string, path: string, token?: string, body?: unknown, headers: object = {}) => {
    const response = await app.fetch(
      new Request(`http://localhost${path}`, {
        method,
        headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    )
    const text = await response.text()
    const json = response.headers.get('content-type')?.includes('json') && text !== ''
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text }
  }
  return { storage, store, send, lines }
}

async function withKeys(options: Partial<AppOptions> = {}, clock: Clock = Date.now) {
  const opened = await open((storage) => ({ keys: keyAccess(storage, clock) }), options)
  const keys = await openKeys(opened.storage, clock)
  const keyOf = async (...scopes: string[]) => (await keys.add({ name: crypto.randomUUID(), scopes })).token
  return { ...opened, keys, keyOf }
}

const one = { events: [{ type: 'A' }] }

describe('API keys', () => {
  test('are shown once, kept as a hash, listed without anything that opens, and unique by name', async () => {
    const { keys, storage } = await withKeys()
    const { token, ...info } = await keys.add({ name: 'ci', scopes: ['read:*'], expiresAt: '2999-01-01T00:00:00Z' })
    expect(token).toMatch(/^daybook_[0-9a-f]{16}_[0-9a-f]{64}$/)
    expect(await keys.list()).toEqual([info])
    const [document] = await storage.getDocuments([{ collection: '$keys', key: info.id }])
    expect(document?.body).not.toContain(token.slice(-64))
    await expect(keys.add({ name: 'ci', scopes: ['read:*'] })).rejects.toThrow('name: "ci" is taken')
    await keys.revoke('ci')
    expect(await keys.list()).toEqual([])
    await keys.add({ name: 'ci', scopes: ['read:*'] })
  })

  test('that make no sense are refused', async () => {
    const { keys } = await withKeys()
    const refused = (key: object, path: string) =>
      expect(keys.add({ name: 'ci', scopes: ['read:*'], ...key })).rejects.toMatchObject({
        code: 'invalid-argument',
        path,
      })
    await refused({ name: '' }, 'name')
    await refused({ scopes: [] }, 'scopes')
    for (const scope of [
      '',
      'read',
      'write:*',
      'read:not a type',
      'operate:*',
      'manage:ads',
      'view',
      'view:a b',
      'read:a:b',
      '*:a',
    ]) {
      await refused({ scopes: ['read:*', scope] }, 'scopes[1]')
    }
    await refused({ expiresAt: 'soon' }, 'expiresAt')
    await refused({ expiresAt: '2001-01-01T00:00:00Z' }, 'expiresAt')
    await expect(keys.revoke('nobody')).rejects.toMatchObject({ path: 'key' })
  })

  test('open nothing without, wrong, revoked or expired; the answer says how to mend it', async () => {
    let now = Date.parse('2026-01-01T00:00:00Z')
    const { keys, send } = await withKeys({}, () => now)
    const { token } = await keys.add({ name: 'ci', scopes: ['*'], expiresAt: '2026-01-02T00:00:00Z' })
    const { token: other } = await keys.add({ name: 'other', scopes: ['*'] })
    const reasonOf = async (token?: string, headers = {}) => {
      const { status, headers: answered, body } = await send('GET', '/stream-types', token, undefined, headers)
      if (status === 200) return 'open'
      expect([status, answered.get('www-authenticate')]).toEqual([401, 'Bearer realm="daybook"'])
      return body.message
    }
    expect(await reasonOf(token)).toBe('open')
    expect(await reasonOf()).toContain('send "Authorization: Bearer …"')
    expect(await reasonOf(undefined, { authorization: 'Basic YTpi' })).toContain('is no "Bearer')
    expect(await reasonOf('abc.def.ghi')).toContain('this kind of token is not taken here')
    for (const wrong of [`${token.slice(0, -1)}x`, token.slice(0, -64) + other.slice(-64), 'daybook_x', `${token}0`]) {
      expect(await reasonOf(wrong)).toContain('there is no such API key')
    }
    await keys.revoke('other')
    now += 5_000
    expect(await reasonOf(other)).toContain('was revoked')
    now += 86_400_000
    expect(await reasonOf(token)).toContain('expired at 2026-01-02T00:00:00.000Z')
  })

  test('are asked before anything of the body is read', async () => {
    const { send } = await withKeys()
    expect((await send('POST', '/append', undefined, 'no body of an append')).status).toBe(401)
  })
})

describe('a feed', () => {
  test('ends when the key that opened it is revoked', async () => {
    let now = Date.now()
    const { keys, send, storage, store } = await withKeys({}, () => now)
    const { token } = await keys.add({ name: 'ci', scopes: ['read:*'] })
    const app = createApp({ store, version: '0.0.0', access: { keys: keyAccess(storage, () => now) } })
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    closers.push(() => vi.useRealTimers())
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${token}` }
    const feed = await app.fetch(new Request('http://localhost/log', { headers }))
    const text = feed.text()
    vi.advanceTimersByTime(5_000)
    await store.append('seat/1', [{ type: 'A' }])
    await keys.revoke('ci')
    now += 5_000
    vi.advanceTimersByTime(5_000)
    expect(await text).toMatch(/"type":"A"[\s\S]*event: problem\ndata: {"type":"urn:daybook:problem:unauthenticated"/)
    expect((await send('GET', '/log', token)).status).toBe(401)
  })
})

describe('scopes', () => {
  test('are by action and stream type, on every route', async () => {
    const { keyOf, send, store } = await withKeys()
    await store.append('seat/1', [{ type: 'A' }])
    await store.append('show/1', [{ type: 'A' }])
    const create = { initialEvent: { eventType: 'A', payload: 1 } }
    const query = [{ types: ['B'] }]
    /** Each request with the only scope that it needs. */
    const requests: readonly (readonly [scope: string, method: string, path: string, body?: unknown])[] = [
      ['append:seat', 'POST', '/streams/seat', create],
      ['append:seat', 'PUT', '/streams/seat/1/events/2', { event: create.initialEvent }],
      ['append:seat', 'POST', '/streams/seat/1/events', one],
      ['append:seat', 'POST', '/append', { appends: [{ stream: 'seat/1', ...one }] }],
      ['read:seat', 'GET', '/streams/seat'],
      ['read:seat', 'GET', '/streams/seat/1'],
      ['read:seat', 'GET', '/streams/seat/1/details'],
      ['read:seat', 'GET', '/streams/seat/1/events'],
      ['read:seat', 'GET', '/streams?stream-type=seat'],
      ['read:seat', 'GET', '/log?stream-type=seat'],
      ['read:*', 'GET', '/log'],
      ['read:*', 'GET', '/stream-types'],
      ['read:*', 'POST', '/boundary', { query }],
      ['operate', 'GET', '/info'],
      ['operate', 'GET', '/metrics'],
      ['forget:seat', 'POST', '/streams/seat/1/forget', { reasonCode: 'asked' }],
      ['forget:*', 'POST', '/subjects/seat/1/forget', { reasonCode: 'asked' }],
    ]
    const scopes = [
      'append:seat',
      'append:show',
      'read:seat',
      'read:show',
      'read:*',
      'forget:seat',
      'forget:show',
      'forget:*',
      'operate',
    ]
    for (const [needed, method, path, body] of requests) {
      for (const scope of [...scopes.filter((scope) => scope !== needed), needed]) {
        const all = scope === 'read:*' || scope === 'forget:*'
        const covers = scope === needed || (all && needed.startsWith(scope.slice(0, -1)))
        const { status, body: problem } = await send(method, path, await keyOf(scope), body)
        if (covers) expect(status, `${scope} for ${method} ${path}`).toBeLessThan(300)
        else expect([status, problem.scope], `${scope} for ${method} ${path}`).toEqual([403, needed])
      }
    }
  })

  test('of a view are its own, or to read everything; a label is of its view', async () => {
    const { keyOf, send } = await withKeys()
    const scopeOf = async (path: string, ...scopes: string[]) => {
      const { status, body } = await send('GET', path, await keyOf(...scopes))
      // There is no projection here, so that who may read it is told that.
      expect([403, 404]).toContain(status)
      return status === 403 ? body.scope : 'open'
    }
    for (const path of ['/views/ads/1', '/views/ads?text=a', '/views/ads~before/1']) {
      expect(await scopeOf(path, 'view:ads')).toBe('open')
      expect(await scopeOf(path, 'view:*')).toBe('open')
      expect(await scopeOf(path, 'read:*')).toBe('open')
      expect(await scopeOf(path, 'view:cars', 'read:ads', 'manage', 'append:*')).toBe('view:ads')
    }
  })

  test('to see how work is at are operate, to steer it manage, which sees it too', async () => {
    const { keyOf, send } = await withKeys()
    const [operate, manage, none] = [await keyOf('operate'), await keyOf('manage'), await keyOf('read:*', 'append:*')]
    const names: Readonly<Record<string, string>> = { version: '1', jobKind: 'mail' }
    let steering = 0
    for (const { method, path, needs, manages, body, query = {} } of routes) {
      const [need] = needs && !path.includes('{stream') && !body ? needs({ params: {}, query: {} } as Asked) : []
      if (need?.action !== 'operate' && !manages) continue
      const required = Object.entries(query).flatMap(([name, { required, example }]) =>
        required ? [`${name}=${example}`] : [],
      )
      const address = `${path.replaceAll(/\{(\w+)\}/g, (_, name) => names[name] ?? 'x')}?${required.join('&')}`
      const asked = async (token: string) => {
        const { status, body: problem } = await send(method, address, token, body?.example)
        return status === 403 ? problem.scope : 'open'
      }
      const own = manages ? 'manage' : 'operate'
      expect(await asked(none), address).toBe(own)
      expect(await asked(operate), address).toBe(manages ? 'manage' : 'open')
      expect(await asked(manage), address).toBe('open')
      if (manages) steering++
    }
    expect(steering).toBeGreaterThan(20)
    for (const path of [
      '/jobs',
      '/schedules',
      '/consumers/x/parked',
      '/projections/x/parked',
      '/snapshots?stream=a/1',
    ]) {
      expect((await send('GET', path, operate)).body.scope, path).toBe('manage')
    }
  })

  test('of what steers work stand in the audit line, with the parts of the path', async () => {
    const { keys, send, lines } = await withKeys()
    const { token } = await keys.add({ name: 'ops', scopes: ['manage'] })
    await send('POST', '/jobs', token, { kind: 'mail', key: 'a' })
    await send('DELETE', '/jobs/mail/a', token)
    await send('DELETE', '/jobs/mail/a', token)
    expect(lines.filter(({ audit }) => audit)).toMatchObject([
      { principal: 'key:ops', method: 'POST', route: '/jobs' },
      { principal: 'key:ops', method: 'DELETE', route: '/jobs/{jobKind}/{jobKey}', jobKind: 'mail', jobKey: 'a' },
    ])
  })

  test('of every stream that is written, and of reading everything where a condition is asked', async () => {
    const { keyOf, send } = await withKeys()
    const token = await keyOf('append:seat')
    const appends = [
      { stream: 'seat/1', ...one },
      { stream: 'show/1', ...one },
    ]
    expect((await send('POST', '/append', token, { appends })).body.scope).toBe('append:show')
    const condition = { query: [{ types: ['B'] }] }
    expect((await send('POST', '/streams/seat/1/events', token, { ...one, condition })).body.scope).toBe('read:*')
    const both = '/log?stream-type=seat&stream-type=show'
    expect((await send('GET', both, await keyOf('read:seat'))).body.scope).toBe('read:show')
    expect((await send('GET', both, await keyOf('read:seat', 'read:show'))).status).toBe(200)
    expect((await send('POST', '/append', await keyOf('*'), { appends, condition })).status).toBe(201)
  })

  test('health and the API page want none', async () => {
    const { send } = await withKeys()
    for (const path of ['/liveness-check', '/readiness', '/openapi/openapi-spec.json']) {
      expect((await send('GET', path)).status).toBe(200)
    }
  })
})

describe('signed tokens', () => {
  const issuer = 'https://issuer.example'
  const audience = 'daybook'

  /** An issuer whose published keys can be changed, and who signs. */
  async function issue(algorithm = 'ES256') {
    const published: object[] = []
    const asked = { times: 0 }
    const server = createServer((_, response) => {
      asked.times++
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ keys: published }))
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    closers.push(() => server.close())
    const newKey = async (kid: string) => {
      const { publicKey, privateKey } = await generateKeyPair(algorithm)
      published.push({ ...(await exportJWK(publicKey)), kid, alg: algorithm })
      return (claims: JWTPayload = {}, expires: string | number = '5m') =>
        new SignJWT({ scope: 'read:seat append:seat', ...claims })
          .setProtectedHeader({ alg: algorithm, kid })
          .setIssuer(String(claims.iss ?? issuer))
          .setAudience(String(claims.aud ?? audience))
          .setSubject('alice')
          .setExpirationTime(expires)
          .sign(privateKey)
    }
    const jwks = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
    return { jwks, newKey, published, asked, server }
  }

  test.each(['ES256', 'RS256', 'EdDSA'])(
    'by %s give their scopes, and their subject to the audit line',
    async (algorithm) => {
      const { jwks, newKey } = await issue(algorithm)
      const sign = await newKey('1')
      const jwt = await jwtAccess({ jwks, issuer, audience })
      const { send, lines } = await open(() => ({ jwt }))
      expect((await send('POST', '/streams/seat/1/events', await sign(), one)).status).toBe(201)
      expect((await send('GET', '/streams/show/1', await sign())).body.scope).toBe('read:show')
      expect(lines.find(({ audit }) => audit)).toMatchObject({ principal: 'jwt:alice' })
    },
  )

  test('of another issuer, for somebody else, run out, not signed by the issuer, or no tokens are refused', async () => {
    const { jwks, newKey, published } = await issue()
    const sign = await newKey('1')
    const stranger = await newKey('2')
    published.pop()
    const jwt = await jwtAccess({ jwks, issuer, audience })
    const { send } = await open(() => ({ jwt }))
    const reasonOf = async (token: string) => {
      const { status, body } = await send('GET', '/streams/seat/1', token)
      return [status, body.message?.replace('Not authenticated: ', '')]
    }
    const now = Math.floor(Date.now() / 1_000)
    expect((await send('GET', '/streams/seat/1', await sign({}, now - 20))).status).toBe(200)
    expect(await reasonOf(await sign({}, now - 40))).toEqual([401, 'the token has expired'])
    expect(await reasonOf(await sign({ iss: 'https://other' }))).toEqual([401, expect.stringContaining('"iss"')])
    expect(await reasonOf(await sign({ aud: 'other' }))).toEqual([401, expect.stringContaining('"aud"')])
    expect(await reasonOf(await sign({ nbf: now + 60 }))).toEqual([401, expect.stringContaining('"nbf"')])
    expect(await reasonOf(await stranger())).toEqual([401, 'the token is not signed by a key of the issuer'])
    const unsigned = `${btoa('{"alg":"none"}').replaceAll('=', '')}.${btoa('{"sub":"alice"}').replaceAll('=', '')}.`
    for (const token of [unsigned, 'abc', 'a.b.c']) {
      expect(await reasonOf(token)).toEqual([401, expect.stringMatching(/no token|not signed/)])
    }
    const shared = await new SignJWT({})
      .setProtectedHeader({ alg: 'HS256', kid: '1' })
      .setSubject('alice')
      .sign(new Uint8Array(32))
    expect((await reasonOf(shared))[0]).toBe(401)
  })

  test('of a key that the issuer brought in later are taken; its keys are asked for once', async () => {
    const { jwks, newKey, asked } = await issue()
    const old = await newKey('1')
    const jwt = await jwtAccess({ jwks, issuer, audience })
    const { send } = await open(() => ({ jwt }))
    for (const _ of [1, 2, 3]) expect((await send('GET', '/streams/seat/1', await old())).status).toBe(200)
    expect(asked.times).toBe(1)
    const young = await newKey('2')
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 11_000 })
    closers.push(() => vi.useRealTimers())
    expect((await send('GET', '/streams/seat/1', await young())).status).toBe(200)
    expect(asked.times).toBe(2)
  })

  test('map their claims to scopes as told, from a text or a list', async () => {
    const { jwks, newKey } = await issue()
    const sign = await newKey('1')
    const jwt = await jwtAccess({
      jwks,
      issuer,
      audience,
      scopeClaim: 'roles',
      scopes: { editor: ['read:*', 'append:seat'] },
    })
    const { send } = await open(() => ({ jwt }))
    const statusOf = async (roles: unknown) =>
      (await send('POST', '/streams/seat/1/events', await sign({ roles }), one)).status
    expect(await statusOf('viewer editor')).toBe(201)
    expect(await statusOf(['editor'])).toBe(201)
    expect(await statusOf(['append:seat'])).toBe(201)
    expect(await statusOf('viewer')).toBe(403)
    expect(await statusOf(7)).toBe(403)
  })

  test('cannot be judged while the issuer is away: that is 503, and no 401', async () => {
    const { jwks, newKey, server } = await issue()
    const sign = await newKey('1')
    server.close()
    server.closeAllConnections()
    const jwt = await jwtAccess({ jwks, issuer, audience })
    const { send } = await open(() => ({ jwt }))
    const { status, body } = await send('GET', '/streams/seat/1', await sign())
    expect([status, body.type]).toEqual([503, 'urn:daybook:problem:issuer-unreachable'])
  })

  test('need options that can work', async () => {
    const good = { jwks: 'https://issuer.example/jwks.json', issuer, audience }
    const bad = [
      { jwks: 'http://issuer.example/jwks.json' },
      { jwks: 'nonsense' },
      { issuer: '' },
      { audience: '' },
      { scopes: { a: ['x'] } },
    ]
    for (const options of bad) {
      await expect(jwtAccess({ ...good, ...options })).rejects.toMatchObject({ code: 'invalid-argument' })
    }
  })
})

describe('who writes', () => {
  test('stands in a line of the audit, with what was written', async () => {
    const { keys, send, lines } = await withKeys()
    const { token } = await keys.add({ name: 'ci', scopes: ['*'] })
    await send('POST', '/streams/seat/1/events', token, one)
    await send('POST', '/streams/seat/1/events', token, { ...one, expected: 7 })
    await send('GET', '/streams/seat/1', token)
    const audited = lines.filter(({ audit }) => audit)
    expect(audited).toEqual([
      {
        audit: true,
        requestId: expect.any(String),
        principal: 'key:ci',
        method: 'POST',
        route: '/streams/{streamType}/{streamId}/events',
        wrote: [expect.objectContaining({ stream: 'seat/1', revision: 1 })],
      },
    ])
    expect(JSON.stringify(lines)).not.toContain(token)
  })

  test('is written into meta where the server is told so, whatever the client says it is', async () => {
    const { keys, send, store } = await withKeys({ principalInMeta: true })
    const { token } = await keys.add({ name: 'ci', scopes: ['*'] })
    await send('POST', '/streams/seat/1/events', token, {
      events: [{ type: 'A', meta: { principal: 'key:boss', a: 1 } }],
    })
    await send('POST', '/streams/seat', token, { initialEvent: { eventType: 'A', payload: 1 } })
    const entries = (await store.readLogPage()).entries
    expect(entries.map((entry) => !entry.forgotten && entry.meta)).toEqual([
      { principal: 'key:ci', a: 1 },
      { principal: 'key:ci' },
    ])
  })

  test('has idempotency keys of his own', async () => {
    const { keyOf, send } = await withKeys()
    const [ann, bob] = [await keyOf('*'), await keyOf('*')]
    const key = { 'idempotency-key': 'same' }
    const first = await send('POST', '/streams/seat/1/events', ann, one, key)
    const second = await send('POST', '/streams/seat/1/events', bob, one, key)
    expect([first.body.repeated, second.body.repeated, second.body.revision]).toEqual([false, false, 2])
  })
})

describe('pages of other origins', () => {
  const get = (options: Partial<AppOptions>, headers: Record<string, string>, method = 'GET', host = 'localhost') =>
    openStore(memoryStorage()).then((store) =>
      createApp({ store, version: '0.0.0', ...options }).fetch(
        new Request(`http://${host}/stream-types`, { method, headers }),
      ),
    )

  test('may not ask a server without access rules, by their own name or by one that leads here', async () => {
    const local = { localHosts: ['trusted.example'] }
    expect((await get(local, {})).status).toBe(200)
    expect((await get(local, { origin: 'http://localhost' })).status).toBe(200)
    expect((await get(local, { origin: 'https://evil.example' })).status).toBe(403)
    expect((await get(local, { origin: 'null' })).status).toBe(403)
    expect((await get(local, {}, 'GET', 'evil.example')).status).toBe(403)
    for (const host of ['127.0.0.1', '[::1]', 'app.localhost', 'trusted.example']) {
      expect((await get(local, {}, 'GET', host)).status, host).toBe(200)
    }
  })

  test('may ask where the server is told so, and only those', async () => {
    const options = { corsOrigins: ['https://app.example'], localHosts: [] }
    const allowed = await get(options, { origin: 'https://app.example' })
    expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([200, 'https://app.example'])
    expect(allowed.headers.get('access-control-expose-headers')).toContain('x-request-id')
    const preflight = {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization',
    }
    const asked = await get(options, preflight, 'OPTIONS')
    expect([asked.status, asked.headers.get('access-control-allow-headers')]).toEqual([204, 'authorization'])
    expect(
      (await get(options, { origin: 'https://evil.example' })).headers.get('access-control-allow-origin'),
    ).toBeNull()
    expect((await get({}, { origin: 'https://app.example' })).headers.get('access-control-allow-origin')).toBeNull()
  })
})
