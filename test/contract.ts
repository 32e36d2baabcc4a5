/** What every storage, and the store on it, is held to. */
import { describe, test } from 'vitest'
import {
  archiveConformance,
  backupConformance,
  type ConformanceCase,
  embeddedConformance,
  ledgerConformance,
  type OpenEmbedded,
  type OpenStorage,
  type OpenStore,
  stateConformance,
  storageConformance,
  storeConformance,
  viewConformance,
  workConformance,
} from '../src/conformance/index.ts'
import { openStore } from '../src/core/store.ts'
import { folders } from './engines/storages.ts'

export interface Contractor {
  readonly make: () => OpenStorage
  /** Why the storage cannot be tested here. */
  readonly missing?: string | undefined
  /** All its cases wait more than they work, as those of views and of work do on every storage. */
  readonly sideBySide?: true
  /** Another way to a storage that is held to all of it: what stands on the store is the same there, and left to the long runs. */
  readonly alike?: true
}

const everything = (all: readonly ConformanceCase[]) => all

/** `some`: which of the cases are run. */
export function holdToContract(
  name: string,
  { make, missing, sideBySide, alike }: Contractor,
  some: (all: readonly ConformanceCase[]) => readonly ConformanceCase[] = everything,
): void {
  describe.skipIf(missing !== undefined)(`${name}${missing ? ` (${missing})` : ''}`, () => {
    const open = make()
    const onStorage: OpenStore & OpenEmbedded = async (setting) => openStore(await open(setting), setting)
    const inTurn = sideBySide ? test.concurrent : test
    describe('the storage', () => {
      for (const { promise, run } of some(storageConformance(open))) inTurn(promise, run)
    })
    describe('the store on it', () => {
      for (const { promise, run } of some(storeConformance(onStorage))) inTurn(promise, run)
    })
    if (alike) return
    describe('the views on it', () => {
      const all = [...viewConformance(onStorage), ...stateConformance(onStorage, folders())]
      for (const { promise, run } of some(all)) test.concurrent(promise, run)
    })
    describe('the work on it', () => {
      const all = [...workConformance(onStorage), ...embeddedConformance(onStorage), ...ledgerConformance(onStorage)]
      for (const { promise, run } of some(all)) test.concurrent(promise, run)
    })
    describe('the archive and the backups beside it', () => {
      const openFolder = folders()
      const all = [...archiveConformance(onStorage, openFolder), ...backupConformance(open, openFolder)]
      for (const { promise, run } of some(all)) inTurn(promise, run)
    })
  })
}
