import fc from 'fast-check'
import { expect, test } from 'vitest'
import { memoryStorage } from '../storage/memory/storage.ts'
import { foldEntityInTime } from './entity.ts'
import { StoreBusy } from './errors.ts'
import type { Recorded } from './event.ts'
import { foldInTime, standsAt } from './event-time.ts'
import { type Folding, viewWrites } from './fold.ts'
import { nothingInForce } from './in-force.ts'
import { projection, shapeOf } from './projection.ts'
import { foldOn, foldStreams } from './refold.ts'
import { openStore } from './store.ts'
import { formatInstant } from './time.ts'
import { createRecentTimelines } from './timeline.ts'

/** Nothing is declared, and nothing is brought up. */
const forms = {
  catalogue: {
    recent: () => nothingInForce,
    read: async () => nothingInForce,
    isRecorded: async () => false,
    readOrGuard: async () => ({ inForce: nothingInForce }),
  },
  archived: undefined,
  upcasters: [],
}

const lateness = 60
type Told = { type: 'Told'; data: string }
/** Shows the order in which it was folded. */
const inTime = projection<Told, { order: string[] }>()({
  name: 'in-time',
  lifecycle: 'live',
  streamTypes: ['seat', 'table'],
  latenessMs: lateness,
  on: {
    Told: (view, { data }) => {
      // Changes what it was given, as handlers do.
      view?.order.push(data)
      return view ?? { order: [data] }
    },
  },
})
const shape = shapeOf({ ...inTime, lifecycle: 'async' })

test('an event stands at its own time where that is not too far back nor yet to come, else at its recording', () => {
  const at = (recorded: number, occurredAt?: string) =>
    standsAt({ time: formatInstant(recorded), meta: occurredAt === undefined ? null : { occurredAt } }, lateness)
  expect(at(1_000, formatInstant(990))).toBe(990)
  expect(at(1_000, formatInstant(940))).toBe(940)
  expect(at(1_000, formatInstant(939))).toBe(1_000)
  expect(at(1_000, formatInstant(1_001))).toBe(1_000)
  expect(at(1_000, '1970-01-01T01:00:00.990+01:00')).toBe(990)
  expect(at(1_000, 'yesterday')).toBe(1_000)
  expect(at(1_000)).toBe(1_000)
})

interface Step {
  readonly stream: 'seat/1' | 'table/1'
  /** Milliseconds since the event before. */
  readonly after: number
  /** How long before its recording it occurred; negative: its producer's clock is ahead. */
  readonly age: number
  /** The batch ends behind it. */
  readonly cut: boolean
}

/** Folds the log batch by batch, each over the document as it is stored, and once more from nothing. */
async function foldBothWays(steps: readonly Step[]): Promise<{ folded: string[]; fresh: string[]; read: number[] }> {
  let now = 1_000
  const storage = memoryStorage({ clock: () => now })
  const store = await openStore(storage, { projections: [inTime] })
  let folding: Folding = { key: '1', body: {} }
  let batch: Recorded[] = []
  let reads = 0
  const read: number[] = []
  const counted = {
    readStream: async (...range: Parameters<typeof storage.readStream>) => {
      const page = await storage.readStream(...range)
      reads += page.records.length
      return page
    },
  }
  for (const [index, { stream, after, age, cut }] of steps.entries()) {
    now += after
    const meta = { occurredAt: formatInstant(now - age) }
    await store.append(stream, [{ type: 'Told', data: String(index), meta }])
    for await (const event of store.read(stream, { direction: 'backwards', limit: 1 })) batch.push(event)
    if (!cut) continue
    reads = 0
    folding = await foldOn({ reads: counted, ...forms, shape }, folding, batch)
    read.push(reads)
    const [write] = viewWrites(shape, folding)
    if (write?.kind === 'put')
      folding = { key: '1', body: JSON.parse(write.body), stored: { version: '-', text: write.body } }
    // A batch that is folded again changes nothing.
    expect(await foldOn({ reads: storage, ...forms, shape }, folding, batch)).toBe(folding)
    batch = []
  }
  folding = await foldOn({ reads: storage, ...forms, shape }, folding, batch)
  const anew = await foldStreams({ reads: storage, ...forms, shape }, '1', ['seat/1', 'table/1'])
  const live = await store.views.get(inTime, '1')
  expect(anew.body.view).toEqual(live)
  expect(anew.body.revisions).toEqual(folding.body.revisions)
  const orderOf = (view: object | undefined) => (view as { order: string[] } | undefined)?.order ?? []
  return { folded: orderOf(folding.body.view), fresh: orderOf(live), read }
}

test('an event of a lower revision and a younger time of its producer is not lost when the others have settled', async () => {
  const { folded, read } = await foldBothWays([
    // Recorded first, and yet younger by its producer's clock than what comes next.
    { stream: 'seat/1', after: 0, age: 0, cut: false },
    { stream: 'seat/1', after: 5, age: 50, cut: true },
    { stream: 'seat/1', after: 40, age: 0, cut: true },
    { stream: 'seat/1', after: 200, age: 10, cut: true },
    { stream: 'seat/1', after: 200, age: 0, cut: true },
    { stream: 'seat/1', after: 200, age: 0, cut: true },
  ])
  expect(folded).toEqual(['1', '0', '2', '3', '4', '5'])
  // What has settled is not read again.
  expect(read).toEqual([2, 3, 4, 2, 2])
})

test('whatever comes in whatever order, folded batch by batch a view is what all its events make it from nothing', async () => {
  const step: fc.Arbitrary<Step> = fc.record({
    stream: fc.constantFrom('seat/1', 'table/1'),
    after: fc.integer({ min: 0, max: lateness }),
    age: fc.integer({ min: -10, max: lateness * 2 }),
    cut: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { folded, fresh } = await foldBothWays(steps)
      expect(folded).toEqual(fresh)
      expect([...folded].sort()).toEqual(steps.map((_, index) => String(index)).sort())
    }),
    { numRuns: 300 },
  )
})

test('what a runner remembers of young events gives the view that reading them gives, and spares the reading', async () => {
  const young = 100_000
  const inTime = projection<{ type: 'Told'; data: { in: string[] } }, { in: string[] }>()({
    name: 'remembered',
    lifecycle: 'async',
    streamTypes: ['seat'],
    latenessMs: young,
    on: {
      // Keeps the object that it was given, and changes it with the next event.
      Told(view, { data }) {
        view?.in.push(...data.in)
        return view ?? data
      },
    },
  })
  const shape = shapeOf(inTime)
  const chance = (index: number) => ((index * 7_919) % 1_009) / 1_009
  const events = Array.from({ length: 1_500 }, (_, index): Recorded => {
    const now = 1_000_000 + index * 120
    const occurredAt = formatInstant(now - Math.floor(chance(index) * young * 1.1))
    const told = { type: 'Told', data: { in: [String(index)] }, meta: { occurredAt }, tags: [] }
    return {
      ...told,
      id: `e${index}`,
      stream: 'seat/1',
      revision: index + 1,
      position: index + 1,
      time: formatInstant(now),
    }
  })
  let reads = 0
  async function* read(_: string, { after, until }: { readonly after: number; readonly until: number }) {
    reads++
    for (const event of events.slice(after, until)) yield structuredClone(event)
  }
  const recent = createRecentTimelines()
  let remembered: Folding = { key: '1', body: {} }
  let forgetful = remembered
  for (let at = 0, size = 1; at < events.length; at += size, size = (size * 5) % 37 || 1) {
    const batch = () => structuredClone(events.slice(at, at + size))
    remembered = stored(await foldInTime(shape, remembered, { events: batch(), read, recent }))
    const readBefore = reads
    forgetful = stored(await foldInTime(shape, forgetful, { events: batch(), read }))
    expect([remembered.body.view, remembered.body.settled?.before]).toEqual([
      forgetful.body.view,
      forgetful.body.settled?.before,
    ])
    expect([remembered.body.settled?.view, reads - readBefore]).toEqual([forgetful.body.settled?.view, 1])
    reads = readBefore
  }
  expect(reads).toBe(1)
  expect((remembered.body.view as { in: string[] } | undefined)?.in).toHaveLength(1_500)
  // A view that somebody else has written is another one, and is read.
  const other: Folding = { key: '1', body: { ...remembered.body, revisions: { 'seat/1': 1_400 } } }
  await foldInTime(shape, other, { events: structuredClone(events.slice(1_400)), read, recent })
  expect(reads).toBe(2)
})

function stored(folding: Folding): Folding {
  return { key: folding.key, body: JSON.parse(JSON.stringify(folding.body)) }
}

test('streams of which one is recorded with an earlier time behind the other come out the same', async () => {
  // As from storages that know no order between streams: the second stream's events come after all of the first's.
  let now = 1_000
  const storage = memoryStorage({ clock: () => now })
  const store = await openStore(storage)
  const told = (stream: string, data: string) => store.append(stream, [{ type: 'Told', data }])
  await told('seat/1', 'a')
  now = 1_010
  await told('table/1', 'b')
  now = 5_000
  await told('seat/1', 'c')
  const eventsOf = async (stream: string) => (await store.readPage(stream)).events
  const refolding = { reads: storage, ...forms, shape }
  const unpositioned = (events: readonly Recorded[]) => events.map(({ position: _, ...event }) => event)
  let folding: Folding = { key: '1', body: {} }
  for (const stream of ['seat/1', 'table/1']) {
    folding = await foldOn(refolding, folding, unpositioned(await eventsOf(stream)))
  }
  expect(folding.body.view).toEqual({ order: ['a', 'b', 'c'] })
})

test('a storage that does not answer while a view is folded is no failure of its handler', async () => {
  const storage = memoryStorage()
  const store = await openStore(storage)
  await store.append('seat/1', [{ type: 'Told', data: 'a' }])
  const { events } = await store.readPage('seat/1')
  // biome-ignore lint/correctness/useYield: it fails before it has anything.
  const read = async function* (): AsyncGenerator<Recorded> {
    throw new StoreBusy('not now', 100)
  }
  await expect(foldEntityInTime(shape, { key: '1', body: {} }, { events, read })).rejects.toMatchObject({
    code: 'store-busy',
  })
})
