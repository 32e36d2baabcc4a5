/** Each storage as the conformance suite opens it: the same name has the same log behind it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import type { OpenStorage } from '../../src/conformance/index.ts'
import { createTable, dynamoStorage } from '../../src/storage/dynamodb/storage.ts'
import { type MemoryLog, memoryLog, memoryStorage } from '../../src/storage/memory/storage.ts'
import { postgresStorage } from '../../src/storage/postgres/storage.ts'
import { type SqliteOptions, sqliteStorage } from '../../src/storage/sqlite/storage.ts'
import { newClient } from './dynamodb.ts'
import { newDatabase } from './postgres.ts'

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
    await createTable({ ...place, boundaryTags: ['seat:', 'ann', 'course:'] })
    return dynamoStorage({ ...place, clock })
  }
}
