/**
 * A process that does all that a store can do at once, until it is killed: `node projector.ts '{"url":…,"worker":…,"seed":…,"does":…}'`.
 * Callers write, runners fold, workers take snapshots and do jobs; and one after the other the deeds that change projections
 * are done. What was acknowledged, and each deed that begins or has ended, is on the standard output.
 */
import { writeSync } from 'node:fs'
import { isStoreError } from '../../src/core/errors.ts'
import { openStore, type Store } from '../../src/core/store.ts'
import { sleep } from '../../src/core/turn.ts'
import { openStorage } from '../../src/open.ts'
import { chance } from '../long/share.ts'
import { decider, handlers, names, people, projections, towns, versions } from './projected.ts'

export interface ProjectorOptions {
  readonly url: string
  readonly worker: string
  readonly seed: number
  /** What is done more often than the rest. */
  readonly does: Deed
  /** Between two writes of a caller. */
  readonly restMs: number
}

export const deeds = [
  'rebuild',
  'rebuildAgain',
  'switch',
  'rollBack',
  'drop',
  'rebuildView',
  'pause',
  'snapshots',
] as const
export type Deed = (typeof deeds)[number]

export type Told =
  | { readonly is: 'event'; readonly id: string }
  | { readonly is: 'job'; readonly id: string }
  | { readonly is: 'begun' | 'done'; readonly deed: Deed }

/** So that whoever comes after one that was killed has not to wait. */
export const termMs = 300
const onTrouble = () => {}
/** What somebody else may have brought about meanwhile. */
const passing = ['revision-conflict', 'document-conflict', 'outcome-unknown', 'store-busy', 'storage-failed']
/** What cannot be done as things stand. */
const untimely = ['view-not-ready', 'invalid-argument', 'projection-not-found']

async function run({ url, worker, seed, does, restMs }: ProjectorOptions): Promise<void> {
  const random = chance(seed)
  const one = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
  const store = await openStore(await openStorage(url), { projections, deciders: [decider] })
  const payment = () => ({ amount: 1 + Math.floor(random() * 9), town: one(towns) })
  for (const name of names) await store.projections.resume(name)
  store.projections.start({ termMs, onTrouble })
  store.jobs.work(handlers, { termMs, onTrouble })

  async function write(): Promise<void> {
    for (;;) {
      await unless(passing, async () => {
        const stream = `person/${one(people)}`
        if (random() < 0.5) {
          const { ids } = await store.append(stream, [{ type: 'Paid', data: payment() }])
          for (const id of ids) tell({ is: 'event', id })
        } else {
          const { events } = await store.execute(decider, stream, payment())
          for (const { id } of events) tell({ is: 'event', id })
        }
      })
      await sleep(restMs)
    }
  }

  async function ask(): Promise<void> {
    for (let count = 0; ; count++) {
      await unless(passing, async () => {
        const input = { person: one(people), ...payment() }
        const { job } = await store.jobs.add('pay', { key: `${worker}-${count}`, input, tries: 100, backoffMs: 10 })
        tell({ is: 'job', id: job.id })
      })
      await sleep(10)
    }
  }

  async function change(): Promise<void> {
    for (;;) {
      const deed = random() < 0.6 ? does : one(deeds)
      const name = one(names)
      tell({ is: 'begun', deed })
      await unless([...passing, ...untimely], async () => {
        await deedOf(store, name, one)[deed]()
        tell({ is: 'done', deed })
      })
      await sleep(random() * 20)
    }
  }

  await Promise.all([write(), write(), write(), write(), ask(), change()])
}

function deedOf(store: Store, name: string, one: <Item>(items: readonly Item[]) => Item) {
  const { projections } = store
  const options = { termMs, onTrouble, version: one(versions) }
  return {
    rebuild: () => projections.rebuild(name, { ...options, switch: one(['by-hand', 'when-built'] as const) }),
    async rebuildAgain() {
      const { version } = await projections.status(name)
      await projections.rebuild(name, { ...options, version })
    },
    switch: async () => projections.switch(name, { version: (await projections.status(name)).version === 1 ? 2 : 1 }),
    rollBack: () => projections.rollBack(name),
    drop: () => projections.drop(name, { version: options.version }),
    rebuildView: () =>
      projections.rebuild(name, { ...options, key: one(name === 'towns' || name === 'totals' ? towns : people) }),
    async pause() {
      await projections.pause(name)
      await sleep(20)
      await projections.resume(name)
    },
    snapshots: () => store.snapshots.takeAll('person', 'person'),
  } satisfies Record<Deed, () => Promise<unknown>>
}

async function unless(codes: readonly string[], run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    if (!isStoreError(error) || !codes.includes(error.code)) throw error
  }
}

function tell(told: Told): void {
  writeSync(1, `${JSON.stringify(told)}\n`)
}

const [options] = process.argv.slice(2)
if (options !== undefined) await run(JSON.parse(options) as ProjectorOptions)
