/** What the store's cases share. */

import type { Consumer } from '../../core/consumer-run.ts'
import type { Store, StoreOptions } from '../../core/store.ts'
import type { Opener, Setting } from '../kit.ts'

export interface StoreSetting extends Setting, StoreOptions {}
export type OpenStore = (setting: StoreSetting) => Promise<Store>
export type StoreOpener = Opener<StoreSetting, Store>

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

/** Options of a store that can be as good as dead: from then on it writes nothing more in the background. */
export function mortal() {
  let dead = false
  const newId = () => {
    if (dead) throw new Error('dead')
    return crypto.randomUUID()
  }
  return {
    options: { newId },
    die() {
      dead = true
    },
    revive() {
      dead = false
    },
  }
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

/** So many events for each of the streams. */
export async function fill(store: Store, streams: readonly string[], events: number): Promise<void> {
  for (let event = 1; event <= events; event++) {
    for (const stream of streams) await store.append(stream, [{ type: 'Reserved' }])
  }
}

/** Waits until all that was appended to the streams has a position, and the consumer has handled it. */
export async function caughtUp(
  store: Store,
  consumer: Consumer | undefined,
  ...streams: readonly string[]
): Promise<void> {
  for (const stream of streams) await positionOf(store, stream)
  await consumer?.whenCaughtUp()
}

/** A store at half past nine, in whose hands the clock is. */
export async function clocked(open: StoreOpener) {
  const clock = {
    now: Date.UTC(2026, 0, 31, 9, 30),
    /** Time passes, and workers look at once instead of a second later. */
    async pass(ms: number) {
      clock.now += ms
      await store.jobs.add('nothing', { delayMs: 1e12 })
    },
  }
  const store = await open({ clock: () => clock.now })
  return { store, jobs: store.jobs, clock }
}
