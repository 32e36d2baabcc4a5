/** Every storage, and everything that offers the store's interface, against the same contract. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, test } from 'vitest'
import {
  type OpenStorage,
  type OpenStore,
  storageConformance,
  storeConformance,
  workConformance,
} from '../src/conformance/index.ts'
import { openStore } from '../src/core/store.ts'
import { createTable, dynamoStorage } from '../src/storage/dynamodb/storage.ts'
import { type MemoryLog, memoryLog, memoryStorage } from '../src/storage/memory/storage.ts'
import { postgresStorage } from '../src/storage/postgres/storage.ts'
import { type SqliteOptions, sqliteStorage } from '../src/storage/sqlite/storage.ts'
import { missingDynamo, newClient } from './engines/dynamodb.ts'
import { missingPooler, missingPostgres, newDatabase, pooled } from './engines/postgres.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-conformance-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function memory(): OpenStorage {
  const logs = new Map<string, MemoryLog>()
  return async ({ name, clock = Date.now }) => {
    const log = logs.get(name) ?? memoryLog()
    logs.set(name, log)
    return memoryStorage({ log, clock })
  }
}

function sqlite(options: Partial<SqliteOptions> = {}): OpenStorage {
  return async ({ name, clock = Date.now }) => sqliteStorage({ file: join(folder, `${name}.db`), clock, ...options })
}

/** A database for all cases, and a schema for each. */
function postgres(way: (url: string) => string = (url) => url): OpenStorage {
  let url = ''
  beforeAll(async () => {
    const database = await newDatabase()
    url = way(database.url)
    return database.drop
  })
  return ({ name, clock = Date.now }) => postgresStorage({ url, schema: name.replaceAll('-', '_'), clock })
}

/** A table for each case. Every tag that conditions of the suite name is a boundary tag. */
function dynamodb(): OpenStorage {
  return async ({ name, clock = Date.now }) => {
    const place = { table: name, client: newClient() }
    await createTable({ ...place, boundaryTags: ['seat:', 'ann', 'course:'] })
    return dynamoStorage({ ...place, clock })
  }
}

const storages: Readonly<Record<string, () => OpenStorage>> = {
  memory,
  'sqlite on node:sqlite': sqlite,
  'sqlite on a thread': () => sqlite({ thread: true }),
  'sqlite on better-sqlite3': () =>
    sqlite({ driver: (file, { readOnly }) => new Database(file, { readonly: readOnly }) }),
  postgres: () => postgres(),
  'postgres behind pgbouncer': () => postgres(pooled),
  dynamodb,
}

/** Why the storage cannot be tested here. */
const lacks: Readonly<Record<string, () => string | undefined>> = {
  postgres: missingPostgres,
  'postgres behind pgbouncer': missingPooler,
  dynamodb: missingDynamo,
}

for (const [name, make] of Object.entries(storages)) {
  const missing = lacks[name]?.()
  describe.skipIf(missing !== undefined)(`${name}${missing ? ` (${missing})` : ''}`, () => {
    const open = make()
    describe('the storage', () => {
      for (const { promise, run } of storageConformance(open)) test(promise, run)
    })
    describe('the store on it', () => {
      const onStorage: OpenStore = async (setting) => openStore(await open(setting), setting)
      for (const { promise, run } of storeConformance(onStorage)) test(promise, run)
    })
    describe('the work on it', () => {
      const onStorage: OpenStore = async (setting) => openStore(await open(setting), setting)
      for (const { promise, run } of workConformance(onStorage)) test(promise, run)
    })
  })
}
