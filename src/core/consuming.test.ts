import { expect, test } from 'vitest'
import { range } from '../conformance/kit.ts'
import { collect, fill, mortal, until } from '../conformance/store/kit.ts'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import type { LogPage, Storage } from './storage.ts'
import { openStore } from './store.ts'

/** A storage whose answers change, and which fails while it is told to. */
function unsteady() {
  const inner = memoryStorage()
  const state: { page: (page: LogPage) => LogPage; broken: boolean } = { page: (page) => page, broken: false }
  const ask = async <Answer>(run: () => Promise<Answer>): Promise<Answer> => {
    if (state.broken) throw new Error('no connection')
    return run()
  }
  const storage: Storage = {
    ...inner,
    commit: (commits) => ask(() => inner.commit(commits)),
    readLog: (query) => ask(async () => state.page(await inner.readLog(query))),
    getDocuments: (keys) => ask(() => inner.getDocuments(keys)),
    queryDocuments: (query) => ask(() => inner.queryDocuments(query)),
  }
  return { storage, state }
}

const name = 'mails'

test('a log that has lost its tail, and another log, end a consumer with an error that is seen', async () => {
  for (const [code, changed] of [
    ['foreign-log', (page: LogPage) => ({ ...page, logId: 'another' })],
    ['position-beyond-head', (page: LogPage) => ({ ...page, head: 1, records: [], scannedTo: 1, more: false })],
  ] as const) {
    const { storage, state } = unsteady()
    const store = await openStore(storage)
    await fill(store, ['seat/1'], 2)
    const consumer = await store.consumers.run({ name, handler: async () => {} })
    await consumer.whenCaughtUp()
    state.page = changed
    await fill(store, ['seat/1'], 1)
    await expect(consumer.ended).rejects.toMatchObject({ code })
    await expect(consumer.whenCaughtUp()).rejects.toMatchObject({ code })
    const { state: now, error, position } = await store.consumers.status(name)
    expect([now, error?.code, position]).toEqual(['failed', code, 2])
    await expect(store.consumers.run({ name, handler: async () => {} })).rejects.toMatchObject({ code })
    await store.consumers.reset(name, 'start')
    expect((await store.consumers.status(name)).state).toBe('idle')
    await store.close()
  }
})

test('a tail that was lost is noticed also where a slow event keeps the checkpoint before it', async () => {
  const { storage, state } = unsteady()
  const store = await openStore(storage)
  await fill(store, ['seat/1', 'seat/2'], 2)
  const options = { name, termMs: 200 }
  let handled = 0
  const handler = async ({ stream }: { stream: string }) => {
    if (stream === 'seat/1') throw new Error('slow')
    handled++
  }
  const consumer = await store.consumers.run({ ...options, backoffMs: 60_000, handler })
  await until(() => handled === 2)
  await consumer.stop()
  expect((await store.consumers.status(name)).position).toBe(0)
  state.page = (page) => ({ ...page, head: 3 })
  await expect(store.consumers.run({ ...options, handler })).rejects.toMatchObject({
    code: 'position-beyond-head',
    position: 4,
    head: 3,
  })
  await store.close()
})

test('a consumer and a worker outlive a storage that fails for longer than their terms', async () => {
  const { storage, state } = unsteady()
  const store = await openStore(storage)
  const seen: number[] = []
  const troubles: unknown[] = []
  const options = { termMs: 150, onTrouble: (error: unknown) => troubles.push(error) }
  await store.consumers.run({ ...options, name, handler: async ({ revision }) => void seen.push(revision) })
  const worker = store.jobs.work({ mail: async () => {} }, options)
  await fill(store, ['seat/1'], 2)
  await until(() => seen.length === 2)
  state.broken = true
  await until(() => troubles.length >= 6)
  state.broken = false
  await fill(store, ['seat/1'], 2)
  await store.jobs.add('mail', { key: 'a' })
  await until(async () => (await store.jobs.get('mail/a'))?.state === 'done')
  await until(() => seen.includes(4))
  expect(new Set(seen)).toEqual(new Set(range(1, 4)))
  await worker.stop()
  await store.close()
})

/** A sequence that only depends on the seed. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test.each(range(1, 6))(
  'whatever dies, fails and is replayed, each event has its effect once and in order (seed %i)',
  async (seed) => {
    const random = chance(seed)
    const log = memoryLog()
    const store = await openStore(memoryStorage({ log }))
    const streams = range(1, 5).map((index) => `seat/${index}`)
    let failing = true
    let over = false
    const start = async () => {
      const life = mortal()
      const process = await openStore(memoryStorage({ log }), life.options)
      await process.consumers.run({
        ...{ name: 'reactions', streamTypes: ['seat'], termMs: 100, parallel: 3, tries: 2, backoffMs: 2 },
        async handler({ stream, revision }) {
          if (random() < 0.1) await new Promise((resolve) => setTimeout(resolve, random() * 20))
          if (failing && random() < 0.2) throw new Error('by chance')
          // Some have an effect, for some it is only the checkpoint that tells.
          if (stream === 'seat/5') return undefined
          return { appends: [{ stream: stream.replace('seat', 'done'), events: [{ type: `${revision}` }] }] }
        },
      })
      return { life, process }
    }
    const writing = Promise.all(
      streams.map(async (stream) => {
        for (const index of range(1, 40)) {
          // One of them is forgotten in the middle of it.
          if (stream === 'seat/4' && index === 25) {
            await store.forget(stream, { reasonCode: 'asked' })
            break
          }
          await store.append(stream, [{ type: 'Reserved' }])
          await new Promise((resolve) => setTimeout(resolve, random() * 30))
        }
      }),
    )
    const living = [await start(), await start()]
    const dead: typeof living = []
    const troubling = (async () => {
      while (!over) {
        await new Promise((resolve) => setTimeout(resolve, 20 + random() * 100))
        if (random() < 0.5) await store.consumers.replayParked('reactions')
        if (random() < 0.3) {
          const [victim] = living.splice(Math.floor(random() * living.length), 1)
          if (victim === undefined) continue
          victim.life.die()
          dead.push(victim)
          living.push(await start())
        }
      }
    })()
    await writing
    over = true
    await troubling
    failing = false
    for (const { life } of dead) life.revive()
    await until(async () => {
      await store.consumers.replayParked('reactions')
      const { parked, lag } = await store.consumers.status('reactions')
      return parked === 0 && lag === 0
    })
    const done = async (stream: string) =>
      (await collect(store.read(stream.replace('seat', 'done')))).map(({ type }) => Number(type))
    for (const stream of streams.slice(0, 3)) expect(await done(stream), stream).toEqual(range(1, 40))
    // Of the forgotten one what was parked may be left out, but not that it was forgotten.
    const forgotten = await done('seat/4')
    expect(forgotten).toEqual([...new Set(forgotten)].sort((a, b) => a - b))
    expect(forgotten.at(-1)).toBe(25)
    for (const { process } of [...dead, ...living]) await process.close()
  },
)
