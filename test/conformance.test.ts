/** Every storage, and everything that offers the store's interface, against the same contract. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, describe, test } from 'vitest'
import { type OpenStorage, type OpenStore, storageConformance, storeConformance } from '../src/conformance/index.ts'
import { openStore } from '../src/core/store.ts'
import { type MemoryLog, memoryLog, memoryStorage } from '../src/storage/memory/storage.ts'
import { type SqliteOptions, sqliteStorage } from '../src/storage/sqlite/storage.ts'

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

const storages: Readonly<Record<string, OpenStorage>> = {
  memory: memory(),
  'sqlite on node:sqlite': sqlite(),
  'sqlite on a thread': sqlite({ thread: true }),
  'sqlite on better-sqlite3': sqlite({ driver: (file, { readOnly }) => new Database(file, { readonly: readOnly }) }),
}

for (const [name, open] of Object.entries(storages)) {
  describe(name, () => {
    describe('the storage', () => {
      for (const { promise, run } of storageConformance(open)) test(promise, run)
    })
    describe('the store on it', () => {
      const onStorage: OpenStore = async (setting) => openStore(await open(setting), setting)
      for (const { promise, run } of storeConformance(onStorage)) test(promise, run)
    })
  })
}
