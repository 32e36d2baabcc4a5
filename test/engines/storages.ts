/** Each storage as tests open it: by the names of the conformance suite, where one name is one log, or by its URL. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll } from 'vitest'
import type { OpenObjects, OpenStorage } from '../../src/conformance/index.ts'
import { folderObjects } from '../../src/objects/folder.ts'
import { createTable, dynamoStorage } from '../../src/storage/dynamodb/storage.ts'
import { type MemoryLog, memoryLog, memoryStorage } from '../../src/storage/memory/storage.ts'
import { postgresStorage } from '../../src/storage/postgres/storage.ts'
import { type SqliteOptions, sqliteStorage } from '../../src/storage/sqlite/storage.ts'
import { endChanges, missingDynamo, newClient, newTable } from './dynamodb.ts'
import { missingPostgres, newDatabase } from './postgres.ts'

export function memory(): OpenStorage {
  const logs = new Map<string, MemoryLog>()
  return async ({ name, clock = Date.now }) => {
    const log = logs.get(name) ?? memoryLog()
    logs.set(name, log)
    return memoryStorage({ log, clock })
  }
}

export function sqlite(options: Partial<SqliteOptions> = {}): OpenStorage {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-conformance-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return async ({ name, clock = Date.now }) => sqliteStorage({ file: join(folder, `${name}.db`), clock, ...options })
}

/** Folders as object stores. */
export function folders(): OpenObjects {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-objects-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return async ({ name }) => folderObjects(join(folder, name))
}

/** The same by other ways. */
export const sqliteOnThread = () => sqlite({ thread: true })
export const betterSqlite = () => sqlite({ driver: (file, { readOnly }) => new Database(file, { readonly: readOnly }) })

/** A database for all cases, and a schema for each. */
export function postgres(way: (url: string) => string = (url) => url): OpenStorage {
  let url = ''
  beforeAll(async () => {
    const database = await newDatabase()
    url = way(database.url)
    return database.drop
  })
  return ({ name, clock = Date.now }) => postgresStorage({ url, schema: name.replaceAll('-', '_'), clock })
}

/** A table for each case. Every tag that conditions of the suite name is a boundary tag. */
export function dynamodb(): OpenStorage {
  return async ({ name, clock = Date.now }) => {
    const place = { table: name, client: newClient() }
    const made = await createTable({ ...place, boundaryTags: ['seat:', 'ann', 'course:'] })
    if (made === 'made') await endChanges(place)
    return dynamoStorage({ ...place, clock })
  }
}

/** A new, empty store. */
export interface Place {
  readonly url: string
  drop(): Promise<void>
}

/** Those that outlive a process and may be shared by several. */
export const places: readonly {
  readonly name: string
  /** Why there is none here. */
  readonly missing: string | undefined
  next(): Promise<Place>
}[] = [
  { name: 'SQLite', missing: undefined, next: newFile },
  { name: 'PostgreSQL', missing: missingPostgres(), next: newDatabase },
  { name: 'DynamoDB', missing: missingDynamo(), next: async () => ({ ...(await newTable()), async drop() {} }) },
]

async function newFile(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-place-'))
  const drop = async () => rmSync(folder, { recursive: true, force: true })
  return { url: `sqlite:${join(folder, 'store.db')}`, drop }
}
