/** What the engine may do to a commit: each fault is put under the real storage through the slice of the driver. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, expect, test } from 'vitest'
import { append, commitOf, event, is, logAll, outcomesOf, readAll, revisionsOf, write } from '../../conformance/kit.ts'
import type { SqliteDatabase, SqliteDriver } from './driver.ts'
import { sqliteStorage } from './storage.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-faults-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const place = () => join(folder, `${crypto.randomUUID()}.db`)

interface Faults {
  /** Called before each statement runs, with the number of its connection; throws where it is to fail. */
  before(sql: string, values: readonly unknown[], connection: number): void
  /** Called after it ran. */
  after?(sql: string): void
  opened: number
}

function faultyDriver(faults: Faults): SqliteDriver {
  return (file, { readOnly }) => {
    const connection = ++faults.opened
    const db = new DatabaseSync(file, { readOnly }) as SqliteDatabase
    const around = <Result>(sql: string, values: readonly unknown[], run: () => Result): Result => {
      faults.before(sql, values, connection)
      const result = run()
      faults.after?.(sql)
      return result
    }
    return {
      exec: (sql) => around(sql, [], () => db.exec(sql)),
      prepare(sql) {
        const statement = db.prepare(sql)
        return {
          run: (...values) => around(sql, values, () => statement.run(...values)),
          get: (...values) => around(sql, values, () => statement.get(...values)),
          all: (...values) => around(sql, values, () => statement.all(...values)),
        }
      },
      close: () => db.close(),
    }
  }
}

function sqliteError(errcode: number, message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode })
}

async function openFaulty() {
  const faults: Faults = { before() {}, opened: 0 }
  const storage = await sqliteStorage({ file: place(), driver: faultyDriver(faults), busyTimeoutMs: 200 })
  return { storage, faults }
}

const one = (stream: string) => commitOf([append(stream, 'any', event('Happened'))])

test('a commit that meets an error nobody expects fails alone; its neighbours are recorded', async () => {
  const { storage, faults } = await openFaulty()
  const poisoned = event('Poison')
  faults.before = (sql, values) => {
    if (sql.includes('INSERT INTO log') && values.includes(poisoned.id)) throw sqliteError(20, 'datatype mismatch')
  }
  const outcomes = await storage.commit([one('seat/1'), commitOf([append('seat/2', 0, poisoned)]), one('seat/3')])
  expect(outcomesOf(outcomes)).toEqual(['committed', 'failed', 'committed'])
  expect(is(outcomes[1], 'failed').cause).toMatchObject({ message: 'datatype mismatch' })
  expect((await logAll(storage)).map(({ stream, position }) => [stream, position])).toEqual([
    ['seat/1', 1],
    ['seat/3', 2],
  ])
  await storage.close()
})

test('a full disk fails every commit of the batch, and leaves nothing half written', async () => {
  const { storage, faults } = await openFaulty()
  await write(storage, 'seat/1', event('Before'))
  faults.before = (sql) => {
    if (sql === 'COMMIT') throw sqliteError(13, 'database or disk is full')
  }
  const outcomes = await storage.commit([one('seat/1'), one('seat/2')])
  expect(outcomesOf(outcomes)).toEqual(['failed', 'failed'])
  faults.before = () => {}
  expect(await logAll(storage)).toHaveLength(1)
  await write(storage, 'seat/1', event('After'))
  expect(revisionsOf(await readAll(storage, 'seat/1'))).toEqual([1, 2])
  await storage.close()
})

test('an I/O error at the commit leaves the outcome open, and the file is opened anew', async () => {
  const { storage, faults } = await openFaulty()
  const commit = commitOf([append('seat/1', 0, event('Happened'))])
  // The commit goes through, and only the answer is an error: the worst of both.
  faults.after = (sql) => {
    if (sql !== 'COMMIT') return
    delete faults.after
    throw sqliteError(10, 'disk I/O error')
  }
  await expect(storage.commit([commit])).rejects.toMatchObject({ message: 'disk I/O error' })
  expect(faults.opened).toBe(2)
  const [again] = await storage.commit([commit])
  expect(is(again, 'committed').repeated).toBe(true)
  expect(revisionsOf(await readAll(storage, 'seat/1'))).toEqual([1])
  await storage.close()
})

test('an I/O error at the commit leaves the outcome open, also where the file cannot be opened anew', async () => {
  // Not there, broken, busy.
  for (const code of [14, 10, 5]) {
    const { storage, faults } = await openFaulty()
    const commit = commitOf([append('seat/1', 0, event('Happened'))])
    faults.after = (sql) => {
      if (sql !== 'COMMIT') return
      delete faults.after
      faults.before = (sql) => {
        if (sql.startsWith('PRAGMA')) throw sqliteError(code, 'the disk is away')
      }
      throw sqliteError(10, 'disk I/O error')
    }
    await expect(storage.commit([commit])).rejects.toMatchObject({ message: 'disk I/O error' })
    faults.before = () => {}
    expect(is((await storage.commit([commit]))[0], 'committed').repeated).toBe(true)
    await storage.close()
  }
})

test('nothing runs on a connection that met an I/O error: what comes meanwhile waits for the new one', async () => {
  const { storage, faults } = await openFaulty()
  await write(storage, 'seat/1', event('Happened'))
  faults.before = (sql, _, connection) => {
    if (connection === 1 && sql.includes('FROM stream WHERE name')) throw sqliteError(522, 'disk I/O error')
  }
  const failed = expect(readAll(storage, 'seat/1')).rejects.toMatchObject({ message: 'disk I/O error' })
  const [[outcome], records] = await Promise.all([storage.commit([one('seat/1')]), readAll(storage, 'seat/1')])
  await failed
  is(outcome, 'committed')
  expect(records.length).toBeGreaterThan(0)
  expect(faults.opened).toBe(2)
  await storage.close()
})

test('a read that meets an I/O error fails, and the next one goes to a new connection', async () => {
  const { storage, faults } = await openFaulty()
  await write(storage, 'seat/1', event('Happened'))
  let fail = true
  faults.before = (sql) => {
    if (!fail || !sql.includes('FROM stream WHERE name')) return
    fail = false
    throw sqliteError(522, 'disk I/O error')
  }
  await expect(readAll(storage, 'seat/1')).rejects.toMatchObject({ message: 'disk I/O error' })
  expect(await readAll(storage, 'seat/1')).toHaveLength(1)
  expect(faults.opened).toBe(2)
  await storage.close()
})

test('a writer that holds the file makes commits wait, and then answer busy', async () => {
  const file = place()
  const storage = await sqliteStorage({ file, busyTimeoutMs: 300 })
  const rival = new DatabaseSync(file)
  rival.exec('BEGIN IMMEDIATE')
  const outcomes = await storage.commit([one('seat/1'), one('seat/2')])
  expect(outcomes).toEqual([
    { outcome: 'busy', retryAfterMs: 100 },
    { outcome: 'busy', retryAfterMs: 100 },
  ])
  const waiting = storage.commit([one('seat/1')])
  setTimeout(() => rival.exec('COMMIT'), 50)
  is((await waiting)[0], 'committed')
  rival.close()
  await storage.close()
})

test('readers are not held up by a writer of another process', async () => {
  const file = place()
  const storage = await sqliteStorage({ file })
  await write(storage, 'seat/1', event('Happened'))
  const rival = new DatabaseSync(file)
  rival.exec('BEGIN IMMEDIATE')
  expect(await readAll(storage, 'seat/1')).toHaveLength(1)
  rival.exec('COMMIT')
  rival.close()
  await storage.close()
})

test('a storage whose file another process has upgraded writes nothing more to it', async () => {
  const file = place()
  const storage = await sqliteStorage({ file })
  await write(storage, 'seat/1', event('Before'))
  const newer = new DatabaseSync(file)
  newer.exec('PRAGMA user_version = 1000')
  newer.close()
  const [outcome] = await storage.commit([one('seat/1')])
  expect(is(outcome, 'failed').cause).toMatchObject({ code: 'schema-too-new', found: 1000 })
  expect(await readAll(storage, 'seat/1')).toHaveLength(1)
  await storage.close()
})
