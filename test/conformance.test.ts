/** Every storage, and everything that offers the store's interface, against the same contract. */
import Database from 'better-sqlite3'
import { describe, test } from 'vitest'
import {
  archiveConformance,
  backupConformance,
  embeddedConformance,
  type OpenEmbedded,
  type OpenStorage,
  type OpenStore,
  storageConformance,
  storeConformance,
  viewConformance,
  workConformance,
} from '../src/conformance/index.ts'
import { openStore } from '../src/core/store.ts'
import { missingDynamo } from './engines/dynamodb.ts'
import { missingPooler, missingPostgres, pooled } from './engines/postgres.ts'
import { dynamodb, folders, memory, postgres, sqlite } from './engines/storages.ts'

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
    // Cases on DynamoDB wait more than they work, and have a table each.
    const held = name === 'dynamodb' ? test.concurrent : test
    describe('the storage', () => {
      for (const { promise, run } of storageConformance(open)) held(promise, run)
    })
    describe('the store on it', () => {
      const onStorage: OpenStore = async (setting) => openStore(await open(setting), setting)
      for (const { promise, run } of storeConformance(onStorage)) held(promise, run)
    })
    describe('the views on it', () => {
      const onStorage: OpenStore = async (setting) => openStore(await open(setting), setting)
      for (const { promise, run } of viewConformance(onStorage)) held(promise, run)
    })
    describe('the work on it', () => {
      const onStorage: OpenStore = async (setting) => openStore(await open(setting), setting)
      for (const { promise, run } of [...workConformance(onStorage), ...embeddedConformance(onStorage)])
        held(promise, run)
    })
    describe('the archive and the backups beside it', () => {
      const onStorage: OpenEmbedded = async (setting) => openStore(await open(setting), setting)
      const openFolder = folders()
      for (const { promise, run } of archiveConformance(onStorage, openFolder)) held(promise, run)
      for (const { promise, run } of backupConformance(open, openFolder)) held(promise, run)
    })
  })
}
