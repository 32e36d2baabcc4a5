/** What every storage, and the store on it, is held to. */
import { describe, test } from 'vitest'
import {
  embeddedConformance,
  type OpenStorage,
  type OpenStore,
  storageConformance,
  storeConformance,
  viewConformance,
  workConformance,
} from '../src/conformance/index.ts'
import { openStore } from '../src/core/store.ts'

export interface Contractor {
  readonly make: () => OpenStorage
  /** Why the storage cannot be tested here. */
  readonly missing?: string | undefined
  /** Its cases wait more than they work, and have a place each. */
  readonly sideBySide?: true
}

export function holdToContract(name: string, { make, missing, sideBySide }: Contractor): void {
  describe.skipIf(missing !== undefined)(`${name}${missing ? ` (${missing})` : ''}`, () => {
    const open = make()
    const held = sideBySide ? test.concurrent : test
    const onStorage: OpenStore = async (setting) => openStore(await open(setting), setting)
    const subjects = {
      'the storage': storageConformance(open),
      'the store on it': storeConformance(onStorage),
      'the views on it': viewConformance(onStorage),
      'the work on it': [...workConformance(onStorage), ...embeddedConformance(onStorage)],
    }
    for (const [subject, cases] of Object.entries(subjects)) {
      describe(subject, () => {
        for (const { promise, run } of cases) held(promise, run)
      })
    }
  })
}
