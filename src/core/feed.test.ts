import { expect, test, vi } from 'vitest'
import { until } from '../conformance/store/kit.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { putDocument } from './document.ts'
import { subscriptionPages } from './feed.ts'
import { limits } from './limits.ts'
import type { Reading } from './read.ts'
import type { Storage } from './storage.ts'
import { openStore } from './store.ts'
import { turn } from './turn.ts'
import { createBell } from './wake.ts'

/** A storage whose next reads of the log fail, one for each error. */
function failing(errors: unknown[]): Storage {
  const inner = memoryStorage()
  return {
    ...inner,
    async readLog(query) {
      if (errors.length > 0) throw errors.shift()
      return inner.readLog(query)
    },
  }
}

test('a subscription whose reads fail heals by itself, misses nothing, and says so', async () => {
  const errors: unknown[] = []
  const store = await openStore(failing(errors))
  await store.append('seat/1', [{ type: 'A' }, { type: 'B' }])
  errors.push(new Error('one'), new Error('two'))
  const troubles: string[] = []
  const seen: unknown[] = []
  const onTrouble = (error: unknown, retryInMs: number) => {
    expect(retryInMs).toBeGreaterThan(0)
    troubles.push(String((error as Error).cause))
  }
  for await (const entry of store.subscribe({ onTrouble })) {
    seen.push(entry.position)
    if (seen.length === 1) errors.push(new Error('three'))
    if (seen.length === 2) await store.append('seat/1', [{ type: 'C' }])
    if (seen.length === 3) break
  }
  expect(seen).toEqual([1, 2, 3])
  expect(troubles).toEqual(['Error: one', 'Error: two', 'Error: three'])
})

test('a subscription whose reads never heal ends with the error, unless somebody is told', async () => {
  vi.useFakeTimers()
  try {
    const broken = () => failing(Array.from({ length: 1_000 }, () => new Error('broken for good')))
    const store = await openStore(broken())
    const reading = (async () => {
      for await (const _ of store.subscribe()) throw new Error('nothing was written')
    })()
    const ended = expect(reading).rejects.toMatchObject({
      code: 'storage-failed',
      cause: { message: 'broken for good' },
    })
    const told = new AbortController()
    let troubles = 0
    const onTrouble = () => {
      if (++troubles > limits.subscribeTries) told.abort()
    }
    const going = (async () => {
      for await (const _ of (await openStore(broken())).subscribe({ onTrouble, signal: told.signal })) return 'an event'
      return 'ended'
    })()
    await vi.advanceTimersByTimeAsync(limits.subscribeTries * limits.subscribeBackoffMsMax * 2)
    await ended
    expect(await going).toBe('ended')
    expect(troubles).toBe(limits.subscribeTries + 1)
  } finally {
    vi.useRealTimers()
  }
})

test('subscribers at the same place share a read; who catches up keeps no page but the last', async () => {
  const inner = memoryStorage()
  let reads = 0
  const storage: Storage = {
    ...inner,
    async readLog(query) {
      reads++
      return inner.readLog(query)
    },
  }
  const store = await openStore(storage)
  for (let append = 0; append < 4; append++) {
    await store.append(
      'seat/1',
      Array.from({ length: 500 }, () => ({ type: 'A' })),
    )
  }
  const tail: Reading['tail'] = new Map()
  const inForce = { types: new Map(), forms: '' }
  const catalogue = {
    recent: () => inForce,
    read: async () => inForce,
    readOrGuard: async () => ({ inForce }),
    isRecorded: async () => false,
  }
  const ended = new AbortController()
  let most = 0
  reads = 0
  const follow = async () => {
    const options = { onCaughtUp: () => ended.abort() }
    for await (const _ of subscriptionPages({ storage, upcasters: [], catalogue, tail }, options, ended.signal)) {
      most = Math.max(most, tail.size)
    }
  }
  // Nobody rests so long that he looks at what he has read last once more.
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    await Promise.all(Array.from({ length: 20 }, follow))
  } finally {
    vi.useRealTimers()
  }
  expect(most).toBe(1)
  expect(reads).toBeLessThan(20)
})

test.each([
  ['after a failure', async (errors: unknown[]) => void errors.push(new Error('the connection broke'))],
  ['after a rest', async () => void (await vi.advanceTimersByTimeAsync(limits.markIdleMs + 1))],
])('a log that has lost its tail and grown past the reader again is noticed %s', async (_, pass) => {
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    const errors: unknown[] = []
    const logs = [memoryStorage(), memoryStorage()] as const
    let log: Storage = logs[0]
    const failingOnce = failing(errors)
    const storage: Storage = {
      ...logs[0],
      commit: (commits) => log.commit(commits),
      async readLog(query) {
        if (errors.length > 0) await failingOnce.readLog(query)
        return { ...(await log.readLog(query)), logId: 'one' }
      },
      wake: (signal) => wakes.listen(signal),
    }
    const wakes = createBell()
    const store = await openStore(storage)
    for (const type of ['A', 'B']) await store.append('seat/1', [{ type }])
    const entries = store.subscribe()[Symbol.asyncIterator]()
    expect([await entries.next(), await entries.next()]).toMatchObject([
      { value: { position: 1 } },
      { value: { position: 2 } },
    ])
    log = logs[1]
    for (const type of ['A', 'C', 'D']) await store.append('seat/2', [{ type }])
    const next = expect(entries.next()).rejects.toMatchObject({
      code: 'log-diverged',
      position: 2,
      stream: 'seat/1',
      revision: 2,
    })
    await pass(errors)
    wakes.ring()
    await next
    await store.close()
  } finally {
    vi.useRealTimers()
  }
})

test('an append right behind a commit of documents is seen as soon as one that comes alone', async () => {
  const storage = memoryStorage()
  const store = await openStore(storage)
  let seen = 0
  const following = (async () => {
    for await (const _ of store.subscribe()) seen++
  })()
  for (let append = 1; append <= 20; append++) {
    const documents = putDocument({ collection: 'views', indexes: [] }, { key: '1', body: {}, if: { is: 'anything' } })
    const noted = turn().then(() => storage.commit([{ id: `${append}`, appends: [], documents }]))
    await store.append('seat/1', [{ type: 'A' }])
    await noted
    await until(() => seen === append)
  }
  await store.close()
  await following
})
