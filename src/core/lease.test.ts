import { expect, test } from 'vitest'
import { event } from '../conformance/kit.ts'
import { until } from '../conformance/store/kit.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { createCommitQueue } from './commit-queue.ts'
import { putDocument } from './document.ts'
import { OutcomeUnknown } from './errors.ts'
import { createWatch, type Held, type Lease, type Leasing, takeLease } from './lease.ts'
import type { Commit, Document, Storage } from './storage.ts'

interface Body {
  readonly held?: Held | undefined
  readonly count: number
  readonly said?: string
}

const collection = { collection: 'leased', indexes: [] }
const place = { collection, key: 'a' }
const key = { collection: 'leased', key: 'a' }

function leasingOn(storage: Storage, change: Partial<Leasing['queue']> = {}): Leasing {
  return { storage, queue: { ...createCommitQueue(storage), ...change }, newId: () => crypto.randomUUID() }
}

async function find(storage: Storage): Promise<Document | undefined> {
  return (await storage.getDocuments([key]))[0]
}

async function bodyIn(storage: Storage): Promise<Body> {
  return JSON.parse((await find(storage))?.body ?? '')
}

async function take(leasing: Leasing, termMs = 60_000, previous?: Document): Promise<Lease<Body>> {
  const held = { owner: crypto.randomUUID(), since: '', termMs, beat: 0 }
  const lease = await takeLease<Body>(leasing, place, { body: { count: 0, held }, previous })
  return lease ?? expect.fail('another was faster')
}

const add = { body: (body: Body) => ({ ...body, count: body.count + 1 }) }

test('of many who take it at once one has it, and what others write under it is not written', async () => {
  const storage = memoryStorage()
  const held = { owner: '', since: '', termMs: 60_000, beat: 0 }
  const rivals = await Promise.all(
    Array.from({ length: 5 }, (_, index) =>
      takeLease<Body>(leasingOn(storage), place, {
        body: { count: 0, held: { ...held, owner: `${index}` } },
        previous: undefined,
      }),
    ),
  )
  const [first, ...others] = rivals.filter((lease) => lease !== undefined)
  expect(others).toEqual([])
  expect(await first?.write(add)).toBe(true)
  const second = await take(leasingOn(storage), 60_000, await find(storage))
  expect(await first?.write(add)).toBe(false)
  expect(first?.lost.aborted).toBe(true)
  expect(await second.write(add)).toBe(true)
  expect((await bodyIn(storage)).count).toBe(1)
  second.end()
})

test('the holder writes it anew before the term is over, until he gives it back', async () => {
  const storage = memoryStorage()
  const lease = await take(leasingOn(storage), 120)
  const versions = new Set<string | undefined>()
  await until(async () => versions.add((await find(storage))?.version).size === 6)
  expect(lease.lost.aborted).toBe(false)
  await lease.write({ body: (body) => ({ ...body, held: undefined }) })
  const last = await find(storage)
  await new Promise((resolve) => setTimeout(resolve, 240))
  expect((await find(storage))?.version).toBe(last?.version)
})

test('whose heartbeats do not come through knows that he has lost it before another can have it', async () => {
  const storage = memoryStorage()
  let silent = false
  const queue = createCommitQueue(storage)
  const stuck: Leasing['queue'] = { add: (commit) => (silent ? new Promise(() => {}) : queue.add(commit)) }
  const lease = await take(leasingOn(storage, stuck), 300)
  const watch = createWatch()
  let lostFirst: boolean | undefined
  silent = true
  await until(async () => {
    const [leftMs] = watch.look([{ key: 'a', held: (await bodyIn(storage)).held }])
    if (leftMs === 0) lostFirst ??= lease.lost.aborted
    return lostFirst !== undefined
  })
  expect(lostFirst).toBe(true)
})

test('a lease has run out only once no heartbeat was seen for the whole term on the own clock', () => {
  let now = 0
  const watch = createWatch(() => now)
  const at = (beat: number) => [{ key: 'a', held: { owner: 'me', since: '', termMs: 100, beat } }]
  expect(watch.look(at(1))).toEqual([100])
  now = 60
  expect(watch.look(at(1))).toEqual([40])
  expect(watch.look(at(2))).toEqual([100])
  now = 159
  expect(watch.look(at(2))).toEqual([1])
  now = 160
  expect(watch.look(at(2))).toEqual([0])
  // What was not asked for meanwhile is seen for the first time.
  expect(watch.look([])).toEqual([])
  expect(watch.look(at(2))).toEqual([100])
})

test('what somebody else changes in the document is taken over, and stays', async () => {
  const storage = memoryStorage()
  const lease = await take(leasingOn(storage))
  const found = await bodyIn(storage)
  const said = putDocument(collection, { key: 'a', body: { ...found, said: 'pause' }, if: { is: 'anything' } })
  await storage.commit([{ id: 'other', appends: [], documents: said }])
  expect(await lease.write(add)).toBe(true)
  expect([lease.body.count, lease.body.said]).toEqual([1, 'pause'])
  expect(await bodyIn(storage)).toEqual(lease.body)
  await storage.commit([{ id: 'gone', appends: [], documents: [{ kind: 'delete', key, if: { is: 'anything' } }] }])
  await lease.look()
  expect(lease.lost.aborted).toBe(true)
})

test('what others write in it does not pass for a heartbeat', async () => {
  const storage = memoryStorage()
  const lease = await take(leasingOn(storage))
  const before = await bodyIn(storage)
  const said = putDocument(collection, { key: 'a', body: { ...before, said: 'replay' }, if: { is: 'anything' } })
  await storage.commit([{ id: 'other', appends: [], documents: said }])
  expect((await bodyIn(storage)).held).toEqual(before.held)
  await lease.write(add)
  expect((await bodyIn(storage)).held?.beat).toBe(1)
  lease.end()
})

test('a commit whose answer is lost is written once, whether it came through or not', async () => {
  for (const through of [true, false]) {
    const storage = memoryStorage()
    const queue = createCommitQueue(storage)
    let lose = false
    const lossy: Leasing['queue'] = {
      async add(commit: Commit) {
        if (!lose) return queue.add(commit)
        lose = false
        if (through) await queue.add(commit)
        throw new OutcomeUnknown([], new Error('no answer'))
      },
    }
    const lease = await take(leasingOn(storage, lossy))
    for (const appends of [[], [{ stream: 'counter/1', expected: 0, events: [event('Counted')] }]]) {
      lose = true
      expect(await lease.write({ ...add, appends })).toBe(true)
    }
    expect(await bodyIn(storage)).toEqual(lease.body)
    expect(lease.body.count).toBe(2)
    const { head } = await storage.readStream('counter/1', { after: 0, direction: 'forwards', limit: 1 })
    expect(head?.revision).toBe(1)
    lease.end()
  }
})

test('events that are in the log already count as written, and the rest is written', async () => {
  const storage = memoryStorage()
  const lease = await take(leasingOn(storage))
  const appends = [{ stream: 'counter/1', expected: 'any' as const, events: [event('Counted', { id: 'mine' })] }]
  await storage.commit([{ id: 'earlier', appends }])
  const documents = putDocument(collection, { key: 'b', body: {}, if: { is: 'absent' } })
  expect(await lease.write({ ...add, appends, documents })).toBe(true)
  expect((await bodyIn(storage)).count).toBe(1)
  expect(await storage.getDocuments([{ collection: 'leased', key: 'b' }])).toHaveLength(1)
  const clash = [{ stream: 'counter/1', expected: 0, events: [event('Counted')] }]
  await expect(lease.write({ ...add, appends: clash })).rejects.toMatchObject({ code: 'revision-conflict' })
  expect((await bodyIn(storage)).count).toBe(1)
  lease.end()
})
