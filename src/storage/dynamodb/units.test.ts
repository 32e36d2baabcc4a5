/** What each call costs, in requests and units, as the engine counts them: the table of `docs/design/dynamodb.md`. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { missingDynamo } from '../../../test/engines/dynamodb.ts'
import { costOf, newWire, type Request, sum, type Wire } from '../../../test/engines/wire.ts'
import { append, commit, commitOf, event, is, logPage, range, readAll, sequenced } from '../../conformance/kit.ts'
import type { Storage } from '../../core/storage.ts'
import { loadSdk, openTable } from './driver.ts'
import { type RecordItem, recordKey } from './items.ts'
import { createListing } from './listing.ts'
import { rememberPlaced, type Sequencing, sequence } from './sequence.ts'
import { hashWith, type RecordHint, rememberEnds, type Session } from './session.ts'
import { createTable, dynamoStorage } from './storage.ts'
import { openLog } from './table.ts'

const missing = missingDynamo()

describe.skipIf(missing !== undefined)(`costs on DynamoDB${missing ? ` (${missing})` : ''}`, () => {
  afterEach(() => {
    vi.useRealTimers()
  })
  let wire: Wire
  let table: string
  let storage: Storage
  const open = () => dynamoStorage({ table, client: wire.client, sequencer: 'elsewhere' })
  beforeEach(async () => {
    wire = newWire()
    table = `units-${crypto.randomUUID()}`
    await createTable({ table, client: wire.client, boundaryTags: ['seat:', 'show:'] })
    storage = await open()
    wire.take()
    return async () => {
      await storage.close()
      wire.client.destroy()
    }
  })

  /** What one call costs. */
  async function cost(run: () => Promise<unknown>) {
    wire.take()
    await run()
    return costOf(wire.take())
  }
  const committed = async (...appends: Parameters<typeof commit>[1]) => is(await commit(storage, appends), 'committed')

  /** A session of its own, whose hints are gathered. */
  async function newSession(): Promise<{ readonly session: Session; readonly hints: RecordHint[] }> {
    const [sdk, hints] = [await loadSdk(), [] as RecordHint[]]
    const driver = openTable(sdk, wire.client, table)
    const log = await openLog(driver, table)
    const session: Session = {
      ...{ place: table, table: driver, log, clock: Date.now, hash: hashWith(log.secret), ends: rememberEnds() },
      ...{ feed: {}, hint: (hint) => hints.push(hint) },
    }
    return { session, hints }
  }

  describe('of writing', () => {
    test('an append at a number costs 1 unit: where it is the first, or the head is known, nothing is read', async () => {
      expect(await cost(() => committed(append('seat/1', 0, event('Booked'))))).toEqual(
        units({ requests: 1, writes: 1 }),
      )
      expect(await cost(() => committed(append('seat/1', 1, event('Booked'))))).toEqual(
        units({ requests: 1, writes: 1 }),
      )
    })

    test('an append at a number to a stream whose head is not known looks for it once, for 1 read unit', async () => {
      await committed(append('seat/1', 0, event('Booked')))
      storage = await open()
      const look = units({ requests: 2, reads: 1, writes: 1 })
      expect(await cost(() => committed(append('seat/1', 1, event('Booked'))))).toEqual(look)
    })

    test('many small events of one append cost what their kilobytes cost, together', async () => {
      const many = Array.from({ length: 10 }, () => event('Booked', { data: { row: 4 } }))
      const { requests, writes } = await cost(() => committed(append('seat/1', 0, ...many)))
      expect(requests).toBe(1)
      expect(writes).toBeLessThanOrEqual(2)
    })

    test("an append at 'any' or 'exists' costs 2 units, and 1 read unit where the head is not known", async () => {
      const first = await cost(() => committed(append('seat/1', 'any', event('Booked'))))
      expect(first).toEqual(units({ requests: 3, reads: 1, writes: 2 }))
      const second = await cost(() => committed(append('seat/1', 'exists', event('Booked'))))
      expect(second).toEqual(units({ requests: 2, writes: 2 }))
    })

    test.each([1, 2, 5])('%i boundary tags cost 2 units each, and 2 for the record', async (count) => {
      const tags = range(1, count).map((tag) => `seat:${tag}`)
      const first = await cost(() => committed(append('seat/1', 0, event('Booked', { tags }))))
      expect(first).toEqual(units({ requests: 2 + count, reads: 1 + count, writes: 2 * (1 + count) }))
      const second = await cost(() => committed(append('seat/1', 1, event('Booked', { tags }))))
      expect(second).toEqual(units({ requests: 2 + count, reads: 1 + count, writes: 2 * (1 + count) }))
    })

    test('a tag that is no boundary tag costs nothing', async () => {
      const one = event('Booked', { tags: ['colour:red', 'row:4'] })
      expect(await cost(() => committed(append('hall/1', 0, one)))).toEqual(units({ requests: 1, writes: 1 }))
    })

    test.each([
      { streams: 2, documents: 0, entries: 0 },
      { streams: 3, documents: 0, entries: 0 },
      { streams: 1, documents: 1, entries: 0 },
      { streams: 1, documents: 1, entries: 2 },
      { streams: 3, documents: 4, entries: 3 },
    ])('$streams streams and $documents documents with $entries index items each cost 2 units an item', async (of) => {
      const index = range(1, of.entries).map((at) => ({ index: `by${at}`, equals: 'red', order: String(at) }))
      const documents = range(1, of.documents).map((at) => ({
        ...{ kind: 'put', key: { collection: 'views', key: String(at) }, body: '{}', index },
        if: { is: 'absent' },
      })) as never
      const appends = range(1, of.streams).map((at) => append(`seat/${at}`, 0, event('Booked')))
      const { writes, indexWrites } = await cost(async () => {
        is(await commit(storage, appends, { documents }), 'committed')
      })
      expect(writes).toBe(2 * (of.streams + of.documents + of.documents * of.entries))
      expect(indexWrites).toBe(0)
    })

    test('a condition costs 2 units for its check, and nothing where the append has a link of its own there', async () => {
      const conditional = (tags: readonly string[]) =>
        cost(async () => {
          const condition = { query: [{ tags: ['show:hamlet'] }] }
          const appends = [append(`seat/${crypto.randomUUID()}`, 0, event('Booked', { tags }))]
          is(await commit(storage, appends, { condition }), 'committed')
        })
      expect(await conditional([])).toEqual(units({ requests: 3, reads: 2, writes: 4 }))
      expect(await conditional(['show:hamlet'])).toEqual(units({ requests: 3, reads: 2, writes: 4 }))
    })

    test('an append that lost a race, and one that is repeated, write nothing', async () => {
      const mine = event('Booked')
      await committed(append('seat/1', 0, mine))
      await committed(append('seat/1', 1, event('Booked')))
      const lost = await cost(async () => is(await commit(storage, [append('seat/1', 1, event('Late'))]), 'conflict'))
      expect(lost).toEqual(units({ requests: 2, reads: 2 }))
      wire.take()
      is(await commit(storage, [append('seat/1', 0, mine)]), 'committed')
      const repeated = wire.take()
      expect(repeated.map(({ action }) => action)).toEqual(['PutItem', 'Query', 'Query', 'Query', 'Query'])
      expect(costOf(repeated).writes).toBe(0)
    })
  })

  describe('of positions', () => {
    test('a full page of 99 records costs 2 units a record for its mark, and the page itself', async () => {
      const { session, hints } = await writeMany({ streams: 99, each: 1 })
      wire.take()
      await sequence({ session, placed: rememberPlaced() }, hints)
      const [look, page, ...more] = wire.take()
      expect(more).toEqual([])
      expect(look).toMatchObject({ action: 'Query', reads: 1 })
      const pageUnits = Math.ceil((await pageBytes(page as Request)) / 1_024)
      expect(page).toMatchObject({ action: 'TransactWriteItems', writes: 99 * 2 + pageUnits * 2, indexWrites: 0 })
      // About 0.2 for each event: names of streams are shorter or longer.
      expect((pageUnits * 2) / 99).toBeGreaterThan(0.15)
      expect((pageUnits * 2) / 99).toBeLessThan(0.3)
    })

    test('a page of 99 appends of 10 events each is the larger by their entries, 32 bytes an event', async () => {
      const { session, hints } = await writeMany({ streams: 99, each: 1, events: 10 })
      const { requests, writes } = await cost(() => sequence({ session, placed: rememberPlaced() }, hints))
      expect(requests).toBe(2)
      expect((writes - 99 * 2) / 99).toBeGreaterThan(0.6)
      expect((writes - 99 * 2) / 99).toBeLessThan(0.8)
    })

    test('what stands before a record costs a read unit where the sequencer does not know it, and one for each boundary tag', async () => {
      const { session } = await newSession()
      const hintOf = async (stream: string, revision: number): Promise<RecordHint> => {
        const item = (await session.table.get(recordKey(stream, revision))) as RecordItem
        return { stream, revision, item }
      }
      const place = async (sequencing: Sequencing, stream: string, revision: number) => {
        const hint = await hintOf(stream, revision)
        return cost(() => sequence(sequencing, [hint]))
      }
      const one: Sequencing = { session, placed: rememberPlaced() }
      const tags = ['seat:1', 'seat:2']
      await committed(append('seat/1', 0, event('Booked', { tags })))
      expect(await place(one, 'seat/1', 1)).toEqual(units({ requests: 2, reads: 1, writes: 4 }))
      await committed(append('seat/1', 1, event('Booked', { tags })))
      expect(await place(one, 'seat/1', 2)).toEqual(units({ requests: 3, reads: 1 + 2, writes: 4 }))
      await committed(append('seat/1', 2, event('Booked')))
      expect(await place(one, 'seat/1', 3)).toEqual(units({ requests: 2, reads: 1, writes: 4 }))
      await committed(append('seat/1', 3, event('Booked')))
      const another: Sequencing = { session, placed: rememberPlaced() }
      expect(await place(another, 'seat/1', 4)).toEqual(units({ requests: 3, reads: 1 + 1, writes: 4 }))
    })

    test('from the append to its place in the listing an event that comes alone costs 9 units and a read unit', async () => {
      const here = await dynamoStorage({ table, client: wire.client })
      is(await commit(here, [append('seat/1', 0, event('Booked'))]), 'committed')
      await sequenced(here, 'seat/1', 1)
      await here.listStreams({ type: 'seat', limit: 1 })
      wire.take()
      is(await commit(here, [append('seat/1', 1, event('Booked'))]), 'committed')
      await here.close()
      // Whatever idles beside it looks for news now and then, which a slow engine gives it time for.
      const all = wire.take().filter((request) => !isPresence(request))
      const { requests, reads, ...written } = costOf(all)
      expect(written).toEqual({ writes: 1 + 4 + 2, indexWrites: 2 })
      expect(requests - reads).toBe(5 - 1)
    })

    test('an event that is alone on its page costs 4 units for its position', async () => {
      const { session, hints } = await writeMany({ streams: 1, each: 1 })
      const alone = await cost(() => sequence({ session, placed: rememberPlaced() }, hints))
      expect(alone).toEqual(units({ requests: 2, reads: 1, writes: 4 }))
    })

    test('a sequencer that is 2,000 events behind asks at most once for 50 of them', async () => {
      const { session, hints } = await writeMany({ streams: 100, each: 20 })
      wire.take()
      expect(await sequence({ session, placed: rememberPlaced() }, hints)).toBe(2_000)
      const requests = wire.take()
      expect(requests.length).toBeLessThanOrEqual(2_000 / 50)
      // A look at the end of the log, and a transaction for each full page.
      expect(requests.length).toBe(1 + Math.ceil(2_000 / 99))
    }, 300_000)

    test('so does one that gets them in batches, and one that starts anew in the middle', async () => {
      const { session, hints } = await writeMany({ streams: 100, each: 20 })
      const batches = range(0, 3).map((at) => hints.slice(at * 500, (at + 1) * 500))
      const warm: Sequencing = { session, placed: rememberPlaced() }
      wire.take()
      for (const batch of batches.slice(0, 2)) await sequence(warm, batch)
      expect(wire.take().length).toBeLessThanOrEqual(1_000 / 50)
      const cold = { session: (await newSession()).session, placed: rememberPlaced() }
      wire.take()
      for (const batch of batches.slice(2)) await sequence(cold, batch)
      expect(wire.take().length).toBeLessThanOrEqual(1_000 / 50)
      expect((await logPage(storage, { after: 1_999 })).head).toBe(2_000)
    })

    test('a listing head costs 1 unit, and its place in the index 1 more at first and 2 when it moves', async () => {
      const { session, hints } = await newSession()
      const listing = createListing(session)
      const one = { session, placed: rememberPlaced(), onPage: listing.wrote }
      const bringUp = async () => {
        for (const hint of await written(hints)) await sequence(one, [hint])
        return cost(() => listing.catchUp())
      }
      await committed(append('seat/1', 0, event('Booked')))
      // The feed's end and how far listings are, each time; what was known, and the type of stream, once.
      const first = await bringUp()
      expect(first).toEqual({ requests: 5, reads: 2, writes: 3, indexWrites: 1 })
      await committed(append('seat/1', 1, event('Booked')))
      expect(await bringUp()).toEqual({ requests: 3, reads: 1, writes: 2, indexWrites: 2 })
    })

    test('a stream that many pages name has one head written for all of them', async () => {
      const { session, hints } = await writeMany({ streams: 2, each: 200 })
      const listing = createListing(session)
      await sequence({ session, placed: rememberPlaced(), onPage: listing.wrote }, hints)
      const { writes, indexWrites } = await cost(() => listing.catchUp())
      expect(writes).toBe(2 + 1 + 1)
      expect(indexWrites).toBe(2)
    })

    /** Hints for what the storage has written since, as the change stream would bring them. */
    async function written(hints: RecordHint[]): Promise<readonly RecordHint[]> {
      const page = await storage.readStream('seat/1', { after: hints.length, direction: 'forwards', limit: 10 })
      const fresh = page.records.map(({ stream, revision }) => ({ stream, revision }))
      hints.push(...fresh)
      return fresh
    }
  })

  describe('of reading', () => {
    test('a small stream costs a query for its events and one for their positions', async () => {
      for (const revision of range(0, 4)) await committed(append('seat/1', revision, event('Booked')))
      expect(await cost(() => readAll(storage, 'seat/1'))).toEqual(units({ requests: 2, reads: 2 }))
      const newest = { direction: 'backwards', limit: 1 } as const
      expect(await cost(() => readAll(storage, 'seat/1', newest))).toEqual(units({ requests: 2, reads: 2 }))
      expect(await cost(() => readAll(storage, 'seat/1', { after: 3 }))).toEqual(units({ requests: 2, reads: 2 }))
    })

    test('a stream of 100 small events costs 8 to 10 read units', async () => {
      const { session, hints } = await writeMany({ streams: 1, each: 100 })
      await sequence({ session, placed: rememberPlaced() }, hints)
      const { reads } = await cost(() => readAll(storage, 'seat/1'))
      // Where the engine says at a page's end that there may be more, it is asked again.
      expect(reads).toBeLessThanOrEqual(10)
      expect(reads).toBeGreaterThanOrEqual(8)
    })

    test('a stream costs a read unit for 4 KB of what is stored, and not for what is left out', async () => {
      for (const revision of range(0, 200)) await committed(append('seat/long', revision, event('Booked')))
      const { requests, reads } = await cost(() => readAll(storage, 'seat/long'))
      // 201 records of about 330 bytes: 17 read units, and what remains of each page.
      expect(reads).toBeLessThanOrEqual(25)
      expect(requests).toBeLessThanOrEqual(8)
      const tail = await cost(() => readAll(storage, 'seat/long', { after: 195 }))
      expect(tail).toEqual(units({ requests: 2, reads: 2 }))
    })

    test('the feed costs a read unit for each record, its pages, and two for the head and for what is being forgotten', async () => {
      const { session, hints } = await writeMany({ streams: 99, each: 4 })
      await sequence({ session, placed: rememberPlaced() }, hints)
      storage = await open()
      await logPage(storage, { limit: 1 })
      for (const at of range(0, 3)) {
        const { requests, reads } = await cost(() => logPage(storage, { after: at * 99, limit: 99 }))
        expect(requests).toBeLessThanOrEqual(4)
        expect(reads).toBeGreaterThanOrEqual(99 + 2)
        expect(reads).toBeLessThanOrEqual(99 + 2 + 4)
      }
      const longer = await cost(() => logPage(storage, { after: 99, limit: 250 }))
      expect(longer.requests).toBeLessThanOrEqual(8)
      expect(longer.reads).toBeLessThanOrEqual(250 + 2 + 3 * 4 + 4)
    })

    test('the feed through a filter costs its pages, and the records that pass', async () => {
      const { session, hints } = await writeMany({ streams: 99, each: 10 })
      await sequence({ session, placed: rememberPlaced() }, hints)
      const { reads } = await cost(async () => {
        const { records, scannedTo } = await logPage(storage, { types: ['Cancelled'] })
        expect([records.length, scannedTo]).toEqual([0, 990])
      })
      // 10 pages of about 7 KB, and two for the head and for what is being forgotten.
      expect(reads).toBeLessThanOrEqual(2 + 990 * 0.02)
      const whole = await cost(async () => {
        for (const at of range(0, 3)) await logPage(storage, { after: at * 250, limit: 250 })
      })
      expect(whole.reads / 990).toBeLessThanOrEqual(1.05)
    })

    test('a process that waits for a log at rest costs a read unit a poll, however many wait in it', async () => {
      const waiting = await dynamoStorage({ table, client: wire.client, sequencer: 'elsewhere', pollMs: 5 })
      const stop = new AbortController()
      const polls: Request[] = []
      wire.take()
      const listeners = range(1, 10).map(async () => {
        for await (const _ of waiting.wake(stop.signal)) polls.push(...wire.take())
      })
      await vi.waitFor(() => {
        polls.push(...wire.take())
        expect(polls.length).toBeGreaterThan(5)
      })
      stop.abort()
      await Promise.all(listeners)
      expect(costOf(polls)).toEqual(units({ requests: polls.length, reads: polls.length }))
      await waiting.close()
    })

    test('to ask a log at rest for its head costs the least that can be asked', async () => {
      const { session, hints } = await writeMany({ streams: 99, each: 1 })
      await sequence({ session, placed: rememberPlaced() }, hints)
      await logPage(storage, { after: 98 })
      const idle = await cost(() => logPage(storage, { after: 99 }))
      expect(idle).toEqual(units({ requests: 2, reads: 2 }))
    })

    test('documents cost a read unit each, and a query of an index its entries beside', async () => {
      const documents = range(1, 10).map((at) => ({
        ...{ kind: 'put', key: { collection: 'views', key: String(at) }, body: '{}' },
        ...{ index: [{ index: 'colour', equals: 'red', order: '' }], if: { is: 'absent' } },
      })) as never
      is(await commit(storage, [], { documents }), 'committed')
      const keys = range(1, 10).map((at) => ({ collection: 'views', key: String(at) }))
      expect(await cost(() => storage.getDocuments(keys))).toEqual(units({ requests: 1, reads: 10 }))
      const query = { by: 'index', collection: 'views', index: 'colour', equals: 'red', direction: 'forwards' } as const
      const found = await cost(() => storage.queryDocuments({ ...query, limit: 10 }))
      expect(found).toEqual(units({ requests: 2, reads: 11 }))
    })
  })

  test('a process that writes shows that it does, for a unit at first and every 5 s, and looks for others for a read unit', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const writing = await dynamoStorage({ table, client: wire.client })
    is(await commit(writing, [append('seat/1', 0, event('Booked'))]), 'committed')
    expect(costOf(wire.take().filter(isPresence))).toEqual(units({ requests: 1, writes: 1 }))
    const signs: Request[] = []
    vi.advanceTimersByTime(5_000)
    await vi.waitFor(() => {
      signs.push(...wire.take().filter(isPresence))
      expect(signs.length).toBe(2)
    })
    expect(costOf(signs)).toEqual(units({ requests: 2, reads: 1, writes: 1 }))
    await writing.close()
  })

  /** Appends of `events` events, turn by turn over all streams, and the hints that a change stream would bring. */
  async function writeMany({ streams, each, events = 1 }: { streams: number; each: number; events?: number }) {
    const { session, hints } = await newSession()
    const writer = await dynamoStorage({ table, client: wire.client, sequencer: 'elsewhere' })
    for (const revision of range(0, each - 1)) {
      const commits = range(1, streams).map((at) =>
        commitOf([
          append(`seat/${at}`, revision * events, ...range(1, events).map(() => event('Booked', { data: { row: 4 } }))),
        ]),
      )
      for (const outcome of await writer.commit(commits)) is(outcome, 'committed')
    }
    const images = new Map<string, RecordHint>()
    for await (const items of session.table.scan({ segment: 0, total: 1 })) {
      for (const item of items) {
        if (!item.pk.startsWith('s#')) continue
        const hint = { stream: item.pk.slice(2), revision: Number(item.sk.slice(1)), item: item as never }
        images.set(`${hint.stream} ${hint.revision}`, hint)
      }
    }
    const inTurns = range(1, each).flatMap((revision) =>
      range(1, streams).flatMap((at) => images.get(`seat/${at} ${(revision - 1) * events + 1}`) ?? []),
    )
    await writer.close()
    return { session, hints: [...hints, ...inTurns] }
  }
})

const isPresence = ({ input }: Request) => JSON.stringify(input).includes('f#writers')
const units = (some: Partial<ReturnType<typeof costOf>>) => ({ reads: 0, writes: 0, indexWrites: 0, ...some })

/** As the engine counts an item: names and values. */
async function pageBytes({ input }: Request): Promise<number> {
  const { unmarshall } = await loadSdk()
  const [{ Put }] = input['TransactItems'] as [{ Put: { Item: Parameters<typeof unmarshall>[0] } }]
  const page = unmarshall(Put.Item)
  return sum(
    Object.entries(page).map(([name, value]) => {
      if (typeof value === 'string') return name.length + Buffer.byteLength(value)
      return name.length + (value instanceof Uint8Array ? value.length : Math.ceil(String(value).length / 2) + 1)
    }),
  )
}
