/**
 * What README and docs show is run as it stands: programs and commands with what they print, limits, kinds of errors, words
 * for scripts.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { reviveError } from '../src/core/error-data.ts'
import { errorCodes } from '../src/core/errors.ts'
import { limits } from '../src/core/limits.ts'
import { problemKinds } from '../src/http/problem.ts'
import { missingDynamo } from './engines/dynamodb.ts'
import { type Database, missingPostgres, newDatabase } from './engines/postgres.ts'
import { freePort } from './engines/programs.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'daybook-docs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Block {
  readonly language: string
  readonly code: string
}

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...['docs', 'docs/design', 'docs/guides', 'docs/reference'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
]
const textOf = (page: string) => readFileSync(join(root, page), 'utf8')
const blocksOf = (page: string): readonly Block[] =>
  [...textOf(page).matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({ language, code }))

/** A folder as a user has it, with the package and its commands at hand. */
function userFolder(page: string): string {
  const place = join(folder, page.replaceAll(/\W/g, '-'))
  mkdirSync(join(place, 'node_modules/.bin'), { recursive: true })
  for (const name of ['@aws-sdk', 'better-sqlite3', 'pg', 'zod']) {
    symlinkSync(join(root, 'node_modules', name), join(place, 'node_modules', name))
  }
  symlinkSync(root, join(place, 'node_modules/daybook'))
  symlinkSync(join(root, 'bin/daybook.js'), join(place, 'node_modules/.bin/daybook'))
  symlinkSync(process.execPath, join(place, 'node_modules/.bin/node'))
  for (const name of ['docs/library.ndjson', 'docs/qldb-export']) {
    cpSync(join(root, name), join(place, name), { recursive: true })
  }
  writeFileSync(join(place, 'package.json'), '{ "type": "module", "private": true }')
  return place
}

function start(place: string, command: string, args: readonly string[]) {
  const PATH = `${join(place, 'node_modules/.bin')}:${process.env['PATH']}`
  const env = { ...process.env, AWS_ENDPOINT_URL_DYNAMODB: dynamoEndpoint, PATH }
  return spawn(command, args, { cwd: place, env, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function run(place: string, command: string, args: readonly string[]) {
  const child = start(place, command, args)
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code: child.exitCode, output, errors }
}

const missing = ['sh', 'curl'].filter((program) => spawnSync(program, ['--help']).error !== undefined)
const reason = missing.length > 0 ? ` (there is no ${missing.join(' and no ')} on this machine)` : ''

function runnable(name: string, body: () => Promise<void>): void {
  const held = missing.length === 0 || process.env['CI'] ? test : test.skip
  held(`${name}${reason}`, body)
}

/** A block on PostgreSQL gets the page's own database, and a role of its own where it names one. */
const onPostgres = /postgres:\/\/(?:(\w+):(\w+)@)?localhost\/shop/g
const missingServer = missingPostgres()

function onServer(name: string, body: () => Promise<void>): void {
  const held = missingServer === undefined ? test : test.skip
  held(`${name}${missingServer ? ` (${missingServer})` : ''}`, body)
}

/** One on DynamoDB gets the run's engine, which the SDK finds by its own settings, and tables of the page's own. */
const onDynamo = /\bdynamodb:\w|\btable: '|:8000\b/
const tables = /\b(shop|till)\b/g
const missingEngine = missingDynamo()
const engine = inject('dynamodb')
const dynamoEndpoint = 'endpoints' in engine ? engine.endpoints[0] : undefined

function onEngine(name: string, body: () => Promise<void>): void {
  if (missingEngine !== undefined) test.skip(`${name} (${missingEngine})`, body)
  else runnable(name, body)
}

async function runSql(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql).finally(() => client.end())
}

type Holder = (name: string, body: () => Promise<void>) => void

/** Of a block by what it wants; `plain` of one that wants nothing. */
function holderOf(code: string, plain: Holder): Holder {
  if (code.search(onPostgres) >= 0) return onServer
  if (onDynamo.test(code)) return onEngine
  return code.includes('127.0.0.1:8080') ? runnable : plain
}

/** `npx daybook` is the same command by a longer way, which signals do not get through. */
const direct = (code: string) => code.replaceAll('npx daybook', 'daybook')

/** What is shown, as it must come; `…` stands for what differs each time. */
function pattern(shown: string): RegExp {
  const parts = shown.split('…').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${parts.join('[^]*?')}$`)
}

/** What commands say beside their output. */
const notes = /^(\d+ [a-z]+|This is the only time that the key is shown|The signer key is in).*\n/gm

const shows = (page: string) => blocksOf(page).some(({ language }) => ['ts', 'sh', 'sql'].includes(language))

describe.each(pages.filter(shows))('%s', async (page) => {
  const place = userFolder(page)
  const blocks = blocksOf(page)
  /** Of the server, and one where nobody answers. */
  const ports: Readonly<Record<string, number>> = { 8080: await freePort(), 8081: await freePort() }
  let database: Database | undefined
  const id = crypto.randomUUID().slice(0, 8)
  const role = `daybook_app_${id}`
  const here = (code: string) =>
    code
      .replaceAll(/\b808[01]\b/g, (port) => String(ports[port]))
      .replaceAll(onPostgres, (_, user?: string, password = '') => {
        const url = new URL(database?.url ?? 'postgres://none')
        if (user !== undefined) Object.assign(url, { username: user, password })
        return url.href
      })
      .replaceAll(/\bdaybook_app\b/g, role)
      .replaceAll('http://localhost:8000', dynamoEndpoint ?? 'http://none')
      .replaceAll(tables, (table) => (page.includes('dynamodb') ? `${table}-${id}` : table))
  const wantsServer = textOf(page).search(onPostgres) >= 0
  if (wantsServer && missingServer === undefined) {
    beforeAll(async () => {
      const { url, drop } = await newDatabase()
      database = { url, drop }
      return async () => {
        await runSql(url, `DO $$ BEGIN IF to_regrole('${role}') IS NOT NULL THEN DROP OWNED BY ${role}; END IF; END $$`)
        await runSql(url, `DROP ROLE IF EXISTS ${role}`)
        await drop()
      }
    })
  }
  /** One at a time: the next one takes its place. */
  let server: ChildProcess | undefined
  let log = ''

  async function stop(): Promise<void> {
    if (server === undefined || server.exitCode !== null) return
    server.kill('SIGTERM')
    await once(server, 'exit')
  }
  afterAll(stop)

  for (const [index, { language, code: shown }] of blocks.entries()) {
    const name = `block ${index + 1}: ${shown.split('\n').find((line) => line !== '' && !line.startsWith('import'))}`
    const next = blocks[index + 1]
    const answer = next?.language === 'text' ? pattern(here(next.code)) : undefined
    if (language === 'sql') {
      onServer(name, () => runSql(database?.url ?? '', here(shown)))
    } else if (language === 'ts') {
      holderOf(shown, test)(name, async () => {
        // A module that others name says what it is called.
        const [, file = `block-${index}.ts`] = /^\/\/ (\w+\.ts)\n/.exec(shown) ?? []
        writeFileSync(join(place, file), here(shown))
        const flags = ['--disable-warning=ExperimentalWarning', '--conditions=daybook-source']
        const { code: exit, output, errors } = await run(place, process.execPath, [...flags, file])
        expect([exit, errors]).toEqual([0, ''])
        if (answer) expect(output).toMatch(answer)
      })
    } else if (language === 'sh server') {
      runnable(name, async () => {
        await stop()
        log = ''
        const child = start(place, 'sh', ['-c', `exec ${direct(here(shown))}`])
        server = child
        child.stdout.on('data', (chunk: Buffer) => {
          log += chunk
        })
        await once(child.stdout, 'data')
        expect(JSON.parse(log).msg).toBe('listening')
      })
    } else if (language === 'sh') {
      holderOf(shown, runnable)(name, async () => {
        const { code: exit, output, errors } = await run(place, 'sh', ['-e', '-c', direct(here(shown))])
        expect([exit, errors.replaceAll(notes, '')], output).toEqual([0, ''])
        if (answer) expect(output).toMatch(answer)
        else expect(output).not.toContain('urn:daybook:problem')
      })
    } else if (language === 'text log') {
      const line = pattern(shown.trim())
      runnable(name, () => vi.waitFor(() => expect(log.split('\n')).toContainEqual(expect.stringMatching(line))))
    }
  }
})

test('every block is of a kind that a test holds', () => {
  const held = [
    'ts',
    'sh',
    'sql',
    'sh server',
    'text',
    'text log',
    'sh setup',
    'text formulas',
    'text rooms',
    'json policy',
  ]
  // What wants programs of others is shown, and not run.
  const known = [...held, 'js elsewhere', 'sh elsewhere', 'text elsewhere']
  for (const page of pages) for (const { language } of blocksOf(page)) expect(known, page).toContain(language)
})

test('the commands that set up are scripts of the package', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const lines = pages.flatMap((page) =>
    blocksOf(page)
      .filter(({ language }) => language === 'sh setup')
      .flatMap(({ code }) => code.trim().split('\n')),
  )
  expect(new Set(lines)).toEqual(new Set(['npm ci && npm start', 'npm ci && npm test']))
  for (const line of lines) expect(Object.keys(scripts)).toContain(line.split(' ').at(-1))
  const contributing = textOf('CONTRIBUTING.md')
  for (const [, script = ''] of contributing.matchAll(/`npm run ([\w:]+)/g)) {
    expect(Object.keys(scripts)).toContain(script)
  }
})

test('the table of limits is the limits', () => {
  const rows = [...textOf('docs/concepts.md').matchAll(/^\| `(\w+)` +\| ([\d,]+) +\|/gm)].map(
    ([, name = '', value = '']) => [name, Number(value.replaceAll(',', ''))],
  )
  expect(Object.fromEntries(rows)).toEqual(limits)
})

test('the dollars of the design on DynamoDB are its units at its prices', () => {
  const text = textOf('docs/design/dynamodb.md')
  const [, write, read] = /\$([\d.]+) per million write units and \$([\d.]+) per million read units/.exec(text) ?? []
  const rows = [...text.matchAll(/^\| (.*?) +((?:\| [\d.]+ +)+)\| \$([\d.]+) +\|$/gm)]
  expect(rows.length).toBe(16)
  for (const [, what, cells = '', dollars = ''] of rows) {
    const units = cells.split('|').slice(1).map(Number)
    const reads = units.at(-1) ?? 0
    const writes = units.slice(0, -1).reduce((all, some) => all + some, 0)
    const exact = writes * Number(write) + reads * Number(read)
    const digits = dollars.split('.')[1]?.length ?? 0
    // A half goes up, whatever the last bit of a double says.
    expect((exact + 1e-9).toFixed(digits), what).toBe(dollars)
  }
})

test('the reference of errors has every kind in its order, with its status, its type and its class', () => {
  const sections = textOf('docs/reference/errors.md').split(/^## /m).slice(1)
  const heads = sections.map((section) => section.slice(0, section.indexOf('\n')))
  expect(heads).toEqual(Object.entries(problemKinds).map(([kind, { status }]) => `${kind} · ${status}`))
  for (const [index, kind] of Object.keys(problemKinds).entries()) {
    const { name } = reviveError({ code: kind, message: '' })
    const whose = errorCodes.some((code) => code === kind) ? `\`${name}\`` : 'HTTP only'
    expect(sections[index]?.split('\n')[2]).toContain(`\`urn:daybook:problem:${kind}\` · ${whose} · `)
  }
})

test('links between the pages lead somewhere', () => {
  const examples = ['customer-record', 'classified-ads'].map((name) => `examples/${name}/README.md`)
  for (const page of [...pages, 'STYLE.md', ...examples]) {
    for (const [, link = '', anchor] of textOf(page).matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)) {
      const place = link === '' ? page : join(page, '..', link)
      expect(() => readdirOrRead(join(root, place)), `${page} → ${link}`).not.toThrow()
      if (anchor !== undefined) expect(anchorsOf(place), `${page} → ${link}`).toContain(anchor)
    }
  }
})

/** As GitHub makes them of headings. */
function anchorsOf(page: string): readonly string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function readdirOrRead(path: string): void {
  try {
    readFileSync(path)
  } catch {
    readdirSync(path)
  }
}
