import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import Database from 'better-sqlite3'
import { afterAll, describe, expect, test } from 'vitest'
import { event, readAll, write } from '../../conformance/kit.ts'
import { nodeSqlite, type SqliteDriver } from './driver.ts'
import { openDatabase, pragma, schemaVersion } from './schema.ts'
import { sqliteStorage } from './storage.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-opening-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const place = () => join(folder, `${crypto.randomUUID()}.db`)
const betterSqlite: SqliteDriver = (file, { readOnly }) => new Database(file, { readonly: readOnly })

describe.each([
  ['node:sqlite', await nodeSqlite()],
  ['better-sqlite3', betterSqlite],
])('a file opened with %s', (_, driver) => {
  const open = (file: string, more: object = {}) => sqliteStorage({ file, driver, busyTimeoutMs: 50, ...more })

  test('has the settings that durability rests on, read back from the engine', async () => {
    const db = await openDatabase({ file: place(), driver, readOnly: false, busyTimeoutMs: 50 })
    expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    expect(pragma(db, 'synchronous')).toBe(2)
    expect(pragma(db, 'secure_delete')).toBe(1)
    expect(pragma(db, 'busy_timeout')).toBe(0)
    expect(pragma(db, 'user_version')).toBe(schemaVersion)
    db.close()
  })

  test('that another process makes a store of just now is taken for what it is', async () => {
    const made = place()
    await (await open(made)).close()
    for (const moment of [1, 2, 3]) {
      const file = place()
      let looks = 0
      const slow: SqliteDriver = (place, options) => {
        const db = driver(place, options)
        const look = <Result>(result: Result): Result => {
          if (++looks === moment) copyFileSync(made, file)
          return result
        }
        const prepare = (sql: string) => {
          const statement = db.prepare(sql)
          return {
            run: (...values: Parameters<typeof statement.run>) => statement.run(...values),
            get: (...values: Parameters<typeof statement.get>) => look(statement.get(...values)),
            all: (...values: Parameters<typeof statement.all>) => statement.all(...values),
          }
        }
        return { exec: (sql) => db.exec(sql), prepare, close: () => db.close() }
      }
      const storage = await open(file, { driver: slow })
      await write(storage, 'seat/1', event('Happened'))
      await storage.close()
    }
  })

  test('that is no database is refused and left as it is', async () => {
    const file = place()
    const text = 'Dear diary, today I was opened as a database. '.repeat(100)
    writeFileSync(file, text)
    await expect(open(file)).rejects.toMatchObject({ code: 'not-a-store', place: file })
    await expect(open(file)).rejects.toThrow(`${file} is no store of Daybook: it is no SQLite database`)
    expect(readFileSync(file, 'utf8')).toBe(text)
  })

  test('that is the database of another application is refused and left as it is', async () => {
    for (const prepare of ['CREATE TABLE theirs (a)', 'PRAGMA user_version = 7', 'PRAGMA application_id = 99']) {
      const file = place()
      const other = new DatabaseSync(file)
      other.exec(prepare)
      other.close()
      const before = readFileSync(file)
      await expect(open(file)).rejects.toThrow('is an SQLite database of another application')
      expect(readFileSync(file).equals(before)).toBe(true)
    }
  })

  test('that a newer Daybook has written is refused, and says what to do', async () => {
    const file = place()
    await (await open(file)).close()
    const other = new DatabaseSync(file)
    other.exec(`PRAGMA user_version = ${schemaVersion + 1}`)
    other.close()
    await expect(open(file)).rejects.toMatchObject({
      code: 'schema-too-new',
      found: schemaVersion + 1,
      known: schemaVersion,
    })
    await expect(open(file)).rejects.toThrow('upgrade Daybook')
  })

  test('that another process holds locked is told as busy, and opens once it is free', async () => {
    const file = place()
    await (await open(file)).close()
    // With the same library, for two of them in one process do not see each other's locks.
    const other = driver(file, { readOnly: false })
    other.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    await expect(open(file)).rejects.toMatchObject({ code: 'store-busy' })
    await expect(open(file)).rejects.toThrow(`Another process holds ${file} locked`)
    other.exec('ROLLBACK')
    other.close()
    await (await open(file)).close()
  })

  test('that is not there is made for writing, but not for reading', async () => {
    const file = place()
    await expect(open(file, { readOnly: true })).rejects.toMatchObject({ code: 'store-missing', place: file })
    expect(existsSync(file)).toBe(false)
    await (await open(file)).close()
    await (await open(file, { readOnly: true })).close()
  })

  test('in a folder that is not there is an error that says so', async () => {
    const file = join(folder, 'no', 'such', 'folder.db')
    await expect(open(file)).rejects.toMatchObject({ code: 'storage-failed' })
    await expect(open(file)).rejects.toThrow(`open ${file}`)
  })

  test('that was cut off is refused with its name', async () => {
    const file = place()
    const storage = await open(file)
    await write(storage, 'seat/1', ...Array.from({ length: 100 }, () => event('Happened', { data: 'x'.repeat(1_000) })))
    await storage.close()
    truncateSync(file, 10_000)
    const using = (async () => {
      const storage = await open(file)
      try {
        await readAll(storage, 'seat/1')
      } finally {
        await storage.close()
      }
    })()
    await expect(using).rejects.toThrow(/malformed|damaged/)
  })
})

test('an in-memory database of SQLite is refused: it keeps nothing', async () => {
  await expect(sqliteStorage({ file: ':memory:' })).rejects.toThrow('journal mode memory')
})

test('many openings of one new file at once all come to the same store', async () => {
  const file = place()
  const storages = await Promise.all(Array.from({ length: 8 }, () => sqliteStorage({ file })))
  const ids = await Promise.all(
    storages.map((storage) => storage.readLog({ after: 0, direction: 'forwards', limit: 1 })),
  )
  expect(new Set(ids.map(({ logId }) => logId)).size).toBe(1)
  for (const storage of storages) await storage.close()
})

test('what runs on a thread tells the same errors as what does not', async () => {
  const file = place()
  writeFileSync(file, 'no database at all, but long enough to be looked at as one '.repeat(50))
  await expect(sqliteStorage({ file, thread: true })).rejects.toMatchObject({
    name: 'NotAStore',
    code: 'not-a-store',
    place: file,
  })
  await expect(sqliteStorage({ file, thread: true, driver: betterSqlite })).rejects.toMatchObject({
    code: 'invalid-argument',
  })
})
