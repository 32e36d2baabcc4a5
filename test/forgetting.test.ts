/**
 * Byte searches: after forgetting, nothing of a person is left in the files of a storage, of an archive, of backups; not in
 * views, their indexes and words, snapshots, parked entries, jobs, replays, nor in tables of the user's own.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { gunzipSync } from 'node:zlib'
import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { range } from '../src/conformance/kit.ts'
import { collect, until } from '../src/conformance/store/kit.ts'
import { masterKeyOf } from '../src/core/master-key.ts'
import { projection } from '../src/core/projection.ts'
import { type EmbeddedStore, openStore } from '../src/core/store.ts'
import type { StoreOptions } from '../src/core/store-options.ts'
import { tables } from '../src/core/tables.ts'
import { folderObjects } from '../src/objects/folder.ts'
import { postgresStorage } from '../src/storage/postgres/storage.ts'
import { sqliteStorage } from '../src/storage/sqlite/storage.ts'
import { newDatabase } from './engines/postgres.ts'
import { missingPrograms, startServer } from './engines/server.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-forgetting-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const secret = 'ofnobodyelse'
const asked = { reasonCode: 'asked', principal: 'clerk' }

type Told = { type: 'Told'; data: { text: string } }
type View = { text: string; by: string }

const told = (name: string, lifecycle: 'inline' | 'async', shared: boolean) =>
  projection<Told, View>()({
    name,
    lifecycle,
    streamTypes: ['person'],
    on: { Told: (_, { data: { text } }) => ({ text, by: text }) },
    indexes: [
      { name: 'by', equals: ['by'] },
      ...(shared ? [] : [{ name: 'one', equals: ['by'], unique: true as const }]),
    ],
    search: ['text'],
    ...(shared && { key: () => 'all', holds: 'content' as const }),
  })

const own = told('own-inline', 'inline', false)
const projections = [
  ...[
    own,
    told('own-async', 'async', false),
    told('shared-inline', 'inline', true),
    told('shared-async', 'async', true),
  ],
  projection<Told, View>()({
    name: 'failing',
    lifecycle: 'async',
    streamTypes: ['person'],
    on: {
      Told: (_, { data }) => {
        throw new Error(`cannot take ${data.text}`)
      },
    },
  }),
]

const decider = {
  initialState: () => '',
  evolve: (all: string, { data }: Told) => `${all} ${data.text}`,
  decide: () => [],
  snapshot: { name: 'told', version: 1 },
}

/** Everything that can hold something of a person. */
async function live(store: EmbeddedStore, backups: string): Promise<void> {
  for (const turn of range(1, 6)) {
    const event = {
      type: 'Told',
      data: { text: `${secret} ${turn}` },
      meta: { by: secret },
      tags: [`${secret}:${turn}`],
    }
    await store.append<Told>('person/1', [event as unknown as Told])
    await store.append<Told>('person/2', [{ type: 'Told', data: { text: `kept ${turn}` } }])
  }
  await store.snapshots.take(decider, 'person/1')
  await store.projections.replay(own, { as: 'before' })
  const handlers = {
    fails: async () => {
      throw new Error(`cannot do ${secret}`)
    },
    works: async () => ({ result: { secret } }),
  }
  for (const kind of Object.keys(handlers)) {
    await store.jobs.add(kind, { key: 'about', input: { secret }, streams: ['person/1'], tries: 1 })
  }
  const worker = store.jobs.work(handlers)
  const consumer = await store.consumers.run({
    ...{ name: 'mailer', streamTypes: ['person'], tries: 1 },
    handler: async ({ stream, ...event }) => {
      if (stream === 'person/1' && 'data' in event) throw new Error(`cannot send ${JSON.stringify(event.data)}`)
    },
  })
  const runners = store.projections.start()
  await until(async () => (await store.jobs.get('fails/about'))?.state === 'parked')
  await until(async () => (await store.jobs.get('works/about'))?.state === 'done')
  await until(async () => (await store.consumers.status('mailer')).parked === 1)
  await until(async () => (await store.views.get(projections[1] as typeof own, '2')) !== undefined)
  await until(async () => (await store.projections.parked('failing')).parked.length === 2)
  await Promise.all([worker.stop(), consumer.stop(), runners.stop()])
  await store.backup(folderObjects(backups))
  await store.archive.run()
}

function filesWith(path: string, except = ''): readonly string[] {
  if (!statSync(path).isDirectory()) {
    const bytes = readFileSync(path)
    return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).includes(secret) ? [path] : []
  }
  return readdirSync(path).flatMap((name) => (name === except ? [] : filesWith(join(path, name), except)))
}

function optionsIn(place: string): StoreOptions {
  const retention = { person: { keepEvents: 2 } }
  return {
    ...{ projections, archive: { objects: folderObjects(join(place, 'archive')), retention } },
    backups: [folderObjects(join(place, 'backups'))],
  }
}

async function expectForgotten(store: EmbeddedStore): Promise<void> {
  const { kinds, segments, backups, scrub } = await store.forget('person/1', asked)
  expect(kinds).toMatchObject({ snapshots: 1, jobs: 2, parked: 2 })
  expect([segments, scrub]).toEqual([1, 'done'])
  expect(backups).toBeGreaterThan(0)
  expect(await store.views.get(own, '1')).toBeUndefined()
  expect((await store.views.get(own, '2'))?.text).toBe('kept 6')
}

test('on SQLite: the file with its log, archive, backups', async () => {
  const place = join(folder, 'sqlite')
  const file = join(folder, 'people.db')
  const rows = tables<Told, DatabaseSync>()({
    name: 'people',
    streamTypes: ['person'],
    into: {
      Told: (sql, { stream, data }) => void sql.prepare('INSERT INTO people VALUES (?, ?)').run(stream, data.text),
    },
    forget: (sql, stream) => void sql.prepare('DELETE FROM people WHERE stream = ?').run(stream),
  })
  const { DatabaseSync } = await import('node:sqlite')
  const open = async () => openStore(await sqliteStorage({ file }), { ...optionsIn(place), tables: [rows] })
  await (await open()).close()
  const database = new DatabaseSync(file)
  database.exec('CREATE TABLE people (stream TEXT, text TEXT)')
  const store = await open()
  await live(store, join(place, 'backups'))
  expect(filesWith(place).length).toBeGreaterThan(2)
  expect([file, `${file}-wal`].flatMap((path) => filesWith(path)).length).toBeGreaterThan(0)
  await expectForgotten(store)
  expect(database.prepare('SELECT count(*) AS rows FROM people').get()).toEqual({ rows: 6 })
  database.close()
  for (const path of [file, `${file}-wal`, place]) expect(filesWith(path)).toEqual([])
  await store.close()
  expect(filesWith(file)).toEqual([])
})

test('on SQLite: what a subject has left in a stream of others, and in what was made of that', async () => {
  const place = join(folder, 'masked')
  const file = join(folder, 'masked.db')
  const masterKey = masterKeyOf([new Uint8Array(32).fill(7)])
  const subjects = { events: { Told: { subject: 'human/{/of}', fields: ['/text'], mask: '(gone)' } } }
  const views = [told('one-inline', 'inline', false), told('one-async', 'async', false), told('all', 'async', true)]
  const options: StoreOptions = {
    ...{ subjects, encryption: { masterKey }, projections: views, states: folderObjects(join(place, 'states')) },
    ...{ archive: { objects: folderObjects(join(place, 'archive')), retention: { person: { keepEvents: 1 } } } },
    backups: [folderObjects(join(place, 'backups'))],
  }
  const store = await openStore(await sqliteStorage({ file }), options)
  await store.append<Told & { data: { of: number } }>('person/1', [{ type: 'Told', data: { of: 1, text: secret } }])
  await store.snapshots.take(decider, 'person/1')
  for (const name of ['one-async', 'all']) await store.projections.rebuild(name)
  await store.jobs.add('mail', { key: 'it', input: { secret }, streams: ['person/1'] })
  await store.append('person/1', [{ type: 'Told', data: { of: 2, text: 'kept' } }])
  await store.backup(folderObjects(join(place, 'backups')))
  await store.states.take()
  await store.archive.run()
  expect(filesWith(place).length).toBeGreaterThan(1)
  expect([file, `${file}-wal`].flatMap((path) => filesWith(path)).length).toBeGreaterThan(0)
  const report = await store.forget({ subject: 'human/1', reasonCode: 'asked' })
  expect(report).toMatchObject({ key: 'destroyed', streams: 0, masked: 1, rebuild: [], scrub: 'done', remains: [] })
  expect(report.kinds).toMatchObject({ snapshots: 1, jobs: 1 })
  for (const path of [file, `${file}-wal`, place]) expect(filesWith(path)).toEqual([])
  const texts = (await collect(store.read('person/1'))).map(({ data }) => (data as { text: string }).text)
  expect(texts).toEqual(['(gone)', 'kept'])
  await store.close()
})

const missing = missingPrograms()

test.skipIf(missing !== undefined)(
  `on PostgreSQL: all files but the write-ahead log, after VACUUM FULL and a checkpoint${missing ? ` (${missing})` : ''}`,
  async () => {
    const place = join(folder, 'postgres')
    const server = await startServer()
    const { url } = await newDatabase(server.url)
    const store = await openStore(await postgresStorage({ url }), optionsIn(place))
    await live(store, join(place, 'backups'))
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query('CHECKPOINT')
    expect(filesWith(server.data, 'pg_wal').length).toBeGreaterThan(2)
    await expectForgotten(store)
    const { remains } = await store.forget('person/1', asked)
    expect(remains.map(({ where }) => where).join()).toMatch(/unused space.*write-ahead log/)
    await client.query('VACUUM FULL')
    await client.query('CHECKPOINT')
    await client.end()
    expect(filesWith(place)).toEqual([])
    expect(filesWith(server.data, 'pg_wal')).toEqual([])
    await store.close()
    await server.remove()
  },
)
