/** The client, and the verifier, in the runtimes that they are for: packed, installed, and used by one program that sees the same in each. */
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportLog } from '../../src/core/export.ts'
import { limits } from '../../src/core/limits.ts'
import { newLedgerKeys, signerOf } from '../../src/core/note.ts'
import { openStore, type Store } from '../../src/core/store.ts'
import { serve } from '../../src/hosts/node.ts'
import { memoryStorage } from '../../src/storage/memory/storage.ts'

const versions = { deno: '2.9.6', bun: '1.4.5' }
const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'daybook-runtimes-'))
const consumer = join(folder, 'consumer')
const bin = join(consumer, 'node_modules/.bin')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Only against hanging. */
const installMs = 300_000
const browserMs = 60_000
/** Against hanging too, and less than any wait of the client, for none may keep a program from ending. */
const programMs = limits.clientMs - 5_000

/** Rejects with what the program said for itself where it fails, and ends it at its limit. */
const run = promisify(execFile)

beforeAll(async () => {
  mkdirSync(consumer)
  writeFileSync(
    join(consumer, 'package.json'),
    JSON.stringify({
      type: 'module',
      private: true,
      dependencies: { daybook: `file:${await pack()}`, ...versions },
      // What puts their programs in place.
      allowScripts: { deno: true, bun: true },
    }),
  )
  await run('npm', ['install', '--no-audit', '--no-fund'], { cwd: consumer, timeout: installMs })
  cpSync(join(root, 'test/long/runtimes/program.js'), join(consumer, 'program.js'))
  writeFileSync(
    join(consumer, 'main.js'),
    `import { useClient } from './program.js'
     console.log(JSON.stringify(await useClient(process.argv[2])))`,
  )
}, 2 * installMs)

afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }))

/** The file of the package, made from a copy of the tree. */
async function pack(): Promise<string> {
  const copy = join(folder, 'copy')
  for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json', ...manifest.files, 'scripts', 'src']) {
    if (name !== 'dist') cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  await run('npm', ['pack', '--pack-destination', folder], { cwd: copy, timeout: installMs })
  return join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '')
}

/** Nothing of the caller's settings, proxies among them; what a runtime writes, it writes into the temporary folder. */
function bareSetting(timeout: number) {
  const places = { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder, DENO_DIR: join(folder, 'deno') }
  const env = { ...places, DENO_NO_UPDATE_CHECK: '1', DO_NOT_TRACK: '1' }
  return { cwd: consumer, env, timeout, killSignal: 'SIGKILL' } as const
}

/** A server with nothing in its store, which pages of these origins may ask. */
async function freshServer(
  corsOrigins: readonly string[] = [],
): Promise<AsyncDisposable & { url: string; store: Store }> {
  const store = await openStore(memoryStorage())
  const { url, close } = await serve({ store, port: 0, logger: pino({ level: 'silent' }), corsOrigins })
  return {
    url,
    store,
    async [Symbol.asyncDispose]() {
      await close()
      await store.close()
    },
  }
}

/** What the program sees, whatever runs it. */
const seen = {
  append: {
    stream: 'book/Dune & 砂の惑星 #1?',
    first: 1,
    revision: 2,
    position: 2,
    repeated: false,
    ids: [true, true],
    time: true,
    read: [
      {
        revision: 1,
        type: 'BookBought',
        data: { title: '砂の惑星 🏜', price: 19.99 },
        tags: ['shelf:sci-fi & more'],
      },
      { revision: 2, type: 'BookLent', data: { to: 'ann' }, tags: [] },
    ],
  },
  repeat: [
    { revision: 3, position: 3, repeated: false },
    { revision: 3, position: 3, repeated: true },
  ],
  conflict: {
    typed: true,
    code: 'revision-conflict',
    stream: 'book/Dune & 砂の惑星 #1?',
    expected: 1,
    actual: 3,
    requestId: true,
  },
  pages: { sizes: [250, 250, 100], newest: [600, 599, 598], all: { events: 600, sum: 179_700 } },
  compressed: { events: 600, sum: 179_700 },
  decision: {
    found: [0, 1],
    positions: [604, 605],
    refused: { typed: true, stream: 'seat/1', position: 604 },
  },
  many: {
    appended: [
      { stream: 'account/1', revision: 1, position: 606 },
      { stream: 'account/2', revision: 1, position: 607 },
    ],
    refused: { code: 'revision-conflict', revision: 1 },
  },
  fold: {
    executed: { state: 2, revision: 2, events: 1 },
    now: { state: 2, revision: 2 },
    before: { state: 7, revision: 1 },
  },
  refusals: [
    { typed: true, path: 'events[0].data.since' },
    { typed: true, path: 'events[0].data.days[1]' },
  ],
  subscription: ['1 BookBought', '2 BookLent', '3 BookMoved', 'caught up', '4 BookReturned'],
  abort: { head: 609, entries: 0 },
  forget: {
    report: {
      stream: 'member/ann',
      revision: 3,
      position: 612,
      events: 2,
      documents: 0,
      kinds: {},
      segments: 0,
      backups: 0,
      scrub: 'done',
      remains: [],
    },
    left: [{ type: '$forgotten', data: null, meta: { reasonCode: 'left' }, tombstone: true }],
    code: 'stream-forgotten',
  },
  close: { entries: 0, code: 'store-closed' },
}

const runtimes = {
  Node: { agent: /^Node\.js\//, command: (url: string) => [process.execPath, 'main.js', url] },
  Deno: {
    agent: new RegExp(`^Deno/${versions.deno}$`),
    // It may ask this one server, and nothing else of the machine.
    command: (url: string) => {
      const flags = ['--quiet', '--no-prompt', '--node-modules-dir=manual', `--allow-net=${new URL(url).host}`]
      return [join(bin, 'deno'), 'run', ...flags, 'main.js', url]
    },
  },
  Bun: {
    agent: new RegExp(`^Bun/${versions.bun}$`),
    command: (url: string) => [join(bin, 'bun'), '--no-install', 'main.js', url],
  },
}
for (const [name, { agent, command }] of Object.entries(runtimes)) {
  test(`the client works in ${name}, and the program ends by itself`, async () => {
    await using server = await freshServer()
    const [program = '', ...args] = command(server.url)
    const { stdout } = await run(program, args, bareSetting(programMs))
    expect(JSON.parse(stdout)).toEqual({ agent: expect.stringMatching(agent), seen })
  })
}

const chromium = spawnSync('chromium', ['--version']).status === 0
const paged = chromium || process.env['CI'] ? test : test.skip
const without = chromium ? '' : ' (no Chromium on this machine)'

paged(`the client works in a page of another origin, which the server allows${without}`, async () => {
  await using site = await serveSite()
  await using server = await freshServer([site.origin])
  expect(await inChromium(site, server.url)).toEqual({ agent: expect.stringMatching(/Chrome\//), seen })
})

paged(`the verifier works in a page, with nothing but what the page was given${without}`, async () => {
  const { signerKey, verifierKey } = newLedgerKeys('page.example/log')
  const storage = memoryStorage()
  {
    await using store = await openStore(storage, { ledger: { signer: signerOf(signerKey) } })
    const events = Array.from({ length: 1_000 }, (_, n) => ({ type: 'Reserved', data: { by: 'Ann', n } }))
    await store.append('seat/größe 🎫', events)
    const from = (await store.ledger.seal()).checkpoint
    await store.append('seat/2', [{ type: 'Reserved' }])
    const to = (await store.ledger.seal()).checkpoint
    const proof = await store.ledger.prove({ position: 311 })
    const consistency = await store.ledger.proveConsistency(1_000)
    const given = { proof, consistency, from, to, verifierKeys: [verifierKey] }
    writeFileSync(join(consumer, 'verify.json'), JSON.stringify(given))
    const lines: string[] = []
    for await (const line of exportLog(storage)) lines.push(`${line}\n`)
    writeFileSync(join(consumer, 'export.ndjson'), lines.join(''))
  }
  cpSync(join(root, 'test/long/runtimes/verify.js'), join(consumer, 'verify.js'))
  await using site = await serveSite()
  expect(await inChromium(site, 'verify')).toEqual({
    proof: { data: { by: 'Ann', n: 310 }, size: 1_001 },
    forged: 'content',
    consistency: 'holds',
    inconsistency: 'position',
    whole: { verified: 1_001, signed: true },
    changed: { position: 501, kind: 'entry' },
  })
})

paged(`the client of a page whose origin the server does not allow reaches nothing${without}`, async () => {
  await using site = await serveSite()
  await using server = await freshServer(['http://127.0.0.1'])
  expect(await inChromium(site, server.url)).toEqual({ code: 'outcome-unknown', cause: 'server-unreachable' })
  expect(await server.store.info()).toMatchObject({ head: 0 })
})

interface Site extends AsyncDisposable {
  readonly origin: string
  /** What its page has sent back. */
  readonly told: Promise<unknown>
}

/** The consumer's folder as a site, whose page finds the packages by an import map. */
async function serveSite(): Promise<Site> {
  const told = Promise.withResolvers<unknown>()
  const site = createServer(async (request, response) => {
    if (request.method === 'POST') {
      told.resolve(await json(request))
      response.end()
      return
    }
    const { pathname } = new URL(request.url ?? '', 'http://127.0.0.1')
    const content = pathname === '/' ? page : await readFile(join(consumer, pathname)).catch(() => undefined)
    const type = extname(pathname) === '.js' ? 'text/javascript' : 'text/html'
    response.writeHead(content === undefined ? 404 : 200, { 'content-type': `${type}; charset=utf-8` }).end(content)
  }).listen(0, '127.0.0.1')
  await once(site, 'listening')
  return {
    origin: `http://127.0.0.1:${(site.address() as AddressInfo).port}`,
    told: told.promise,
    async [Symbol.asyncDispose]() {
      site.close()
      site.closeAllConnections()
      await once(site, 'close')
    },
  }
}

const fileOf = (entry: string) => join('/node_modules/daybook', manifest.exports[entry].default)
const imports = {
  daybook: fileOf('.'),
  'daybook/client': fileOf('./client'),
  'daybook/verify': fileOf('./verify'),
  '@noble/curves/': '/node_modules/@noble/curves/',
  '@noble/hashes/': '/node_modules/@noble/hashes/',
  'eventsource-parser': '/node_modules/eventsource-parser/dist/index.js',
}
const page = `<!doctype html>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">
  const asked = location.hash.slice(1)
  const told = await (asked === 'verify'
    ? import('/verify.js').then(({ verifyAll }) => verifyAll())
    : import('/program.js').then(({ useClient }) => useClient(asked)))
    .catch((error) => (error.code ? { code: error.code, cause: error.cause?.code } : { failed: error.stack }))
  await fetch('/', { method: 'POST', body: JSON.stringify(told) })
</script>`

/** What the site's page tells of the server at `url`, or of what it has verified. The browser is given no name, proxy or address beside 127.0.0.1. */
async function inChromium({ origin, told }: Site, url: string): Promise<unknown> {
  const profile = mkdtempSync(join(folder, 'chromium-'))
  const flags = [
    ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-breakpad'],
    ...['--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ...['--no-proxy-server', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', `--user-data-dir=${profile}`],
  ]
  const running = run('chromium', [...flags, `${origin}/#${url}`], bareSetting(browserMs))
  try {
    return await Promise.race([told, running])
  } finally {
    running.child.kill()
    await running.catch(() => {})
  }
}
