/** The file itself: what stays in it, how it grows, and that every version of it can be read for good. */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, expect, test } from 'vitest'
import { event, events, logAll, write } from '../../conformance/kit.ts'
import { deleteDocument, putDocument } from '../../core/document.ts'
import type { Guard } from '../../core/storage.ts'
import { openStore } from '../../core/store.ts'
import { walBytesMost } from './checkpoint.ts'
import { schemaVersion } from './schema.ts'
import { statements } from './statements.ts'
import { sqliteStorage } from './storage.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-file-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const place = () => join(folder, `${crypto.randomUUID()}.db`)

test('a document that was checked before is seen as it is now: changed here, by another connection, or not after all', async () => {
  const file = place()
  const [here, other] = [await sqliteStorage({ file }), await sqliteStorage({ file })]
  const spec = { collection: 'views', indexes: [] }
  await here.declare([spec])
  const key = { collection: 'views', key: 'a' }
  const is = (version: string): Guard => ({ is: 'version', version })
  const put = (id: string, guard: Guard) => ({
    id,
    appends: [],
    documents: putDocument(spec, { key: 'a', body: {}, if: guard }),
  })
  const checks = async (...versions: readonly string[]) => {
    const outcomes: string[] = []
    for (const version of versions) {
      const appends = [{ stream: 'person/1', expected: 'any' as const, events: [event('Happened')] }]
      const documents = [{ kind: 'check' as const, key, if: is(version) }]
      const [outcome] = await here.commit([{ id: crypto.randomUUID(), appends, documents }])
      outcomes.push(outcome?.outcome ?? '')
    }
    return outcomes
  }
  await here.commit([put('v1', { is: 'absent' })])
  expect(await checks('v1', 'v1', 'v0')).toEqual(['committed', 'committed', 'document-conflict'])
  await here.commit([put('v2', is('v1'))])
  expect(await checks('v1', 'v2')).toEqual(['document-conflict', 'committed'])
  await other.commit([put('v3', is('v2'))])
  expect(await checks('v2', 'v3')).toEqual(['document-conflict', 'committed'])
  // A batch that fails as a whole is done again, one by one.
  const failing = {
    id: 'bad',
    appends: [],
    documents: [{ kind: 'put', key, body: 1n as never, index: [], if: is('v3') } as const],
  }
  await here.commit([put('v4', is('v3')), failing])
  expect(await checks('v3', 'v4')).toEqual(['document-conflict', 'committed'])
  const gone = deleteDocument(spec, { key: 'a', if: is('v4') })
  await here.commit([
    {
      id: 'gone',
      appends: [],
      documents: [...gone, ...putDocument(spec, { key: 'b', body: {}, if: { is: 'absent' } })],
    },
  ])
  expect(await checks('v4')).toEqual(['document-conflict'])
  await here.close()
  await other.close()
})

test('after forgetting, no byte of what was forgotten is in the file or its write-ahead log', async () => {
  const file = place()
  const storage = await sqliteStorage({ file })
  const store = await openStore(storage)
  const secrets = [
    'secretdata',
    'secretmeta',
    'secrettag',
    'SecretType',
    'secretid',
    'secretbody',
    'secretword',
    'secretindex',
  ]
  for (let turn = 0; turn < 300; turn++) {
    const fill = 'x'.repeat((turn * 37) % 3_000)
    await store.append('person/1', [
      {
        type: 'SecretType',
        id: `secretid-${turn}`,
        data: `secretdata ${fill}`,
        meta: { a: `secretmeta-${turn}` },
        tags: [`secrettag-${turn}`],
      },
    ])
    await store.append('person/2', [{ type: 'Kept', data: `kept ${fill}`, tags: [`kept-${turn}`] }])
  }
  const views = { collection: 'views', indexes: [{ name: 'by', equals: ['by'] }], search: ['text'] }
  await storage.declare([views])
  for (let key = 0; key < 100; key++) {
    const body = { by: `secretindex-${key}`, text: `secretword${key} secretbody`, fill: 'x'.repeat(key * 20) }
    const documents = putDocument(views, { key: `${key}`, body, streams: ['person/1'], if: { is: 'absent' } })
    await storage.commit([{ id: `c${key}`, appends: [], documents }])
  }
  const found = () => {
    const bytes = Buffer.concat([file, `${file}-wal`].map((name) => readFileSync(name)))
    return secrets.filter((secret) => bytes.includes(secret))
  }
  expect(found()).toEqual(secrets)
  const report = await store.forget('person/1', { reasonCode: 'asked' })
  expect(report).toMatchObject({ events: 300, documents: 100, scrub: 'done' })
  expect(found()).toEqual([])
  await store.close()
})

test('while a long read holds it up the scrub is pending, and the next opening does it', async () => {
  const file = place()
  const store = await openStore(await sqliteStorage({ file }))
  await store.append('person/1', [{ type: 'Told', data: 'secretdata' }])
  const reader = new DatabaseSync(file, { readOnly: true })
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM log').get()
  const report = await store.forget('person/1', { reasonCode: 'asked' })
  expect(report.scrub).toBe('pending')
  const holds = () => [file, `${file}-wal`].some((name) => readFileSync(name).includes('secretdata'))
  expect(holds()).toBe(true)
  reader.exec('COMMIT')
  reader.close()
  const again = await openStore(await sqliteStorage({ file }))
  expect(holds()).toBe(false)
  expect((await again.forget('person/1', { reasonCode: 'asked' })).scrub).toBe('done')
  await again.close()
  await store.close()
})

test('a slow reader of the feed does not pin the write-ahead log', async () => {
  const storage = await sqliteStorage({ file: place() })
  const store = await openStore(storage)
  const large = Array.from({ length: 4 }, () => ({ type: 'Large', data: 'x'.repeat(900_000) }))
  await store.append('seat/0', large)
  const reader = store.readLog()[Symbol.asyncIterator]()
  await reader.next()
  let most = 0
  for (let turn = 1; turn <= 60; turn++) {
    await store.append(`seat/${turn}`, large)
    most = Math.max(most, storage.gauges()['walBytes'] ?? 0)
  }
  // 60 × 3.6 MB were written.
  expect(most).toBeLessThan(walBytesMost)
  let left = 1
  while (!(await reader.next()).done) left++
  expect(left).toBe(4)
  await store.close()
})

test('every statement that a caller waits for goes by an index', async () => {
  const file = place()
  await (await sqliteStorage({ file })).close()
  const db = new DatabaseSync(file)
  const whole: string[] = []
  for (const [name, sql] of Object.entries(statements)) {
    if (!/SELECT|UPDATE|DELETE/.test(sql)) continue
    const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...(sql.match(/\?/g) ?? []).map(() => null))
    const details = plan.map(({ detail }) => String(detail))
    if (details.some((detail) => /^SCAN (?!json_each|o |\(subquery|w VIRTUAL|document_words)/.test(detail))) {
      whole.push(name)
    }
  }
  db.close()
  // The head is the last row, and kinds are few.
  expect(whole).toEqual(['head', 'findKinds'])
})

test('there is a fixture of every schema, each opens, and reads as on the day it was written', async () => {
  const fixtures = new URL('./fixtures/', import.meta.url)
  expect(readdirSync(fixtures).filter((name) => name.endsWith('.db'))).toEqual(
    Array.from({ length: schemaVersion }, (_, index) => `schema-${index + 1}.db`),
  )
  for (let version = 1; version <= schemaVersion; version++) {
    const file = place()
    copyFileSync(new URL(`schema-${version}.db`, fixtures), file)
    const storage = await sqliteStorage({ file })
    const expected = readFileSync(new URL(`schema-${version}.ndjson`, fixtures), 'utf8')
    const bytes = (_: string, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
    const records = await logAll(storage, { evidence: true })
    expect(records.map((record) => `${JSON.stringify(record, bytes)}\n`).join('')).toBe(expected)
    await write(storage, 'seat/1', event('Since'))
    await write(storage, 'seat/9', ...events(2))
    expect(await logAll(storage)).toHaveLength(records.length + 3)
    await storage.close()
  }
})
