/** What the store's cases share. */

import type { Store, StoreOptions } from '../../core/store.ts'
import type { ConformanceCase, Setting } from '../kit.ts'

export interface StoreSetting extends Setting, StoreOptions {}
export type OpenStore = (setting: StoreSetting) => Promise<Store>
/** Opens the case's own data; again for another store on it. */
export type StoreOpener = (setting?: Partial<StoreSetting>) => Promise<Store>

/** Cases of one subject; each gets an opener for data of its own, and all that it opened is closed after it. */
export function storeCases(
  open: OpenStore,
  promises: Readonly<Record<string, (open: StoreOpener) => Promise<void>>>,
): readonly ConformanceCase[] {
  return Object.entries(promises).map(([promise, run]) => ({
    promise,
    async run() {
      const opened: Store[] = []
      const name = `case-${crypto.randomUUID()}`
      try {
        await run(async (setting = {}) => {
          const store = await open({ name, ...setting })
          opened.push(store)
          return store
        })
      } finally {
        for (const store of opened) await store.close()
      }
    },
  }))
}

export async function collect<Item>(
  items: AsyncIterable<Item>,
  most = Number.POSITIVE_INFINITY,
): Promise<readonly Item[]> {
  const all: Item[] = []
  for await (const item of items) {
    all.push(item)
    if (all.length >= most) break
  }
  return all
}

/** Waits for a condition that others bring about. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 2_000; tries++) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error('It did not come about within 10 s')
}

/** The position of a stream's newest event, once it has one. */
export async function positionOf(store: Store, stream: string): Promise<number> {
  let position: number | undefined
  await until(async () => {
    position = (await store.details(stream))?.position
    return position !== undefined
  })
  return position ?? 0
}
