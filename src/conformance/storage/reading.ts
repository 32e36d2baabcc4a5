/** Streams and the log, read in pages: forwards, backwards, to a revision or an instant, filtered. */
import assert from 'node:assert/strict'
import { limits } from '../../core/limits.ts'
import type { Storage } from '../../core/storage.ts'
import {
  cases,
  event,
  events,
  forget,
  logAll,
  logPage,
  type Opener,
  type OpenStorage,
  positionsOf,
  range,
  readAll,
  revisionsOf,
  type Setting,
  sequenced,
  typesOf,
  write,
} from '../kit.ts'

export const reading = (open: OpenStorage) =>
  cases(open, {
    'A stream that was never written has no head, no records and no more': async (open) => {
      const storage = await open()
      assert.deepEqual(await storage.readStream('seat/1', { after: 0, direction: 'forwards', limit: 10 }), {
        records: [],
        more: false,
      })
      assert.equal(await storage.positionOf('seat/1', 1), undefined)
    },

    'A page of a stream holds the revisions after one, up to and with another, in either direction': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(9))
      const read = async (query: object) => {
        const page = await storage.readStream('seat/1', { after: 0, direction: 'forwards', limit: 1_000, ...query })
        assert.equal(page.head?.revision, 9)
        return [revisionsOf(page.records), page.more]
      }
      assert.deepEqual(await read({}), [range(1, 9), false])
      assert.deepEqual(await read({ after: 4, until: 7 }), [[5, 6, 7], false])
      assert.deepEqual(await read({ after: 4, until: 7, limit: 2 }), [[5, 6], true])
      assert.deepEqual(await read({ limit: 9 }), [range(1, 9), false])
      assert.deepEqual(await read({ direction: 'backwards', limit: 3 }), [[9, 8, 7], true])
      assert.deepEqual(await read({ direction: 'backwards', after: 4, until: 7 }), [[7, 6, 5], false])
      assert.deepEqual(await read({ direction: 'backwards', after: 4, until: 7, limit: 2 }), [[7, 6], true])
      assert.deepEqual(await read({ after: 9 }), [[], false])
      assert.deepEqual(await read({ after: 99 }), [[], false])
      assert.deepEqual(await read({ after: Number.MAX_SAFE_INTEGER }), [[], false])
      assert.deepEqual(await read({ after: Number.MAX_SAFE_INTEGER, direction: 'backwards' }), [[], false])
      assert.deepEqual(await read({ after: 5, until: 3 }), [[], false])
    },

    'An instant cuts a stream before the first revision recorded after it': async (open) => {
      const storage = await timed(open, 'seat/1', [1_000, 2_000, 2_000, 3_000])
      const at = async (asOf: number) => revisionsOf(await readAll(storage, 'seat/1', { asOf }))
      assert.deepEqual(await at(999), [])
      assert.deepEqual(await at(1_000), [1])
      assert.deepEqual(await at(2_000), [1, 2, 3])
      assert.deepEqual(await at(2_999), [1, 2, 3])
      assert.deepEqual(await at(9_999), [1, 2, 3, 4])
      const back = await readAll(storage, 'seat/1', { asOf: 2_500, direction: 'backwards', limit: 2 })
      assert.deepEqual(revisionsOf(back), [3, 2])
    },

    'An instant cuts the log before the first position recorded after it': async (open) => {
      const storage = await timed(open, 'seat/1', [1_000, 2_000, 2_000, 3_000])
      for (const [asOf, count] of [
        [999, 0],
        [1_000, 1],
        [2_000, 3],
        [2_999, 3],
        [3_000, 4],
      ] as const) {
        assert.deepEqual(positionsOf(await logAll(storage, { asOf })), range(1, count))
        const back = await logAll(storage, { asOf, direction: 'backwards' })
        assert.deepEqual(positionsOf(back), range(1, count).toReversed())
      }
    },

    'A page ends at its bytes, and holds at least one record': async (open) => {
      const storage = await open()
      const large = 'x'.repeat(900_000)
      for (const stream of ['seat/1', 'seat/1', 'seat/2']) {
        await write(storage, stream, ...range(1, 4).map(() => event('Large', { data: large })))
      }
      await sequenced(storage, 'seat/2', 4)
      const page = await logPage(storage)
      assert.ok(page.records.length >= 1 && page.records.length <= Math.ceil(limits.pageBytes / 900_000))
      assert.equal(page.more, true)
      assert.deepEqual(positionsOf(await logAll(storage)), range(1, 12))
      const filtered = await logAll(storage, { types: ['Large'], direction: 'backwards' })
      assert.deepEqual(positionsOf(filtered), range(1, 12).toReversed())
      const stream = await storage.readStream('seat/1', { after: 0, direction: 'forwards', limit: 1_000 })
      assert.ok(stream.records.length >= 1 && stream.more)
    },

    'The log is read in order of position, page by page, in either direction': async (open) => {
      const storage = await open()
      for (const id of range(1, 25)) await write(storage, `seat/${id % 4}`, ...events(1))
      await sequenced(storage, 'seat/1', 7)
      for (const limit of [1, 2, 7, 25, 1_000]) {
        assert.deepEqual(positionsOf(await logAll(storage, { limit })), range(1, 25))
        const back = await logAll(storage, { limit, direction: 'backwards' })
        assert.deepEqual(positionsOf(back), range(1, 25).toReversed())
        assert.deepEqual(positionsOf(await logAll(storage, { limit, after: 7, until: 12 })), range(8, 12))
        const part = await logAll(storage, { limit, after: 7, until: 12, direction: 'backwards' })
        assert.deepEqual(positionsOf(part), range(8, 12).toReversed())
      }
    },

    'A page of the log tells the log, its head and how far it has looked': async (open) => {
      const storage = await open()
      const empty = await logPage(storage)
      assert.deepEqual({ ...empty, logId: '' }, { logId: '', head: 0, records: [], scannedTo: 0, more: false })
      await write(storage, 'seat/1', ...events(5))
      await sequenced(storage, 'seat/1', 5)
      const { logId, head, scannedTo, more } = await logPage(storage, { after: 1, limit: 2 })
      assert.deepEqual({ logId, head, scannedTo, more }, { logId: empty.logId, head: 5, scannedTo: 3, more: true })
      const none = await logPage(storage, { types: ['Never'] })
      assert.deepEqual([none.records, none.scannedTo, none.more], [[], 5, false])
    },

    'Filters by stream type, event type and tags give just what they say, in either direction': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', event('Reserved', { tags: ['ann', 'vip'] }), event('Freed', { tags: ['ann'] }))
      await write(storage, 'show/1', event('Opened'), event('Reserved', { tags: ['vip'] }))
      await write(storage, 'seat/2', event('Reserved', { tags: ['bob'] }))
      await sequenced(storage, 'seat/2', 1)
      const found = async (filter: object) => {
        const forwards = positionsOf(await logAll(storage, { limit: 1, ...filter }))
        const backwards = positionsOf(await logAll(storage, { limit: 2, ...filter, direction: 'backwards' }))
        assert.deepEqual(backwards, forwards.toReversed())
        return forwards
      }
      assert.deepEqual(await found({ streamTypes: ['seat'] }), [1, 2, 5])
      assert.deepEqual(await found({ streamTypes: ['seat', 'show'] }), [1, 2, 3, 4, 5])
      assert.deepEqual(await found({ streamTypes: ['sea'] }), [])
      assert.deepEqual(await found({ types: ['Reserved'] }), [1, 4, 5])
      assert.deepEqual(await found({ types: ['Opened', 'Freed'] }), [2, 3])
      assert.deepEqual(await found({ streamTypes: ['seat'], types: ['Reserved'] }), [1, 5])
      assert.deepEqual(await found({ tags: ['ann'] }), [1, 2])
      assert.deepEqual(await found({ tags: ['ann', 'vip'] }), [1])
      assert.deepEqual(await found({ tags: ['ann', 'ann'] }), [1, 2])
      assert.deepEqual(await found({ tags: ['vip'], types: ['Reserved'], streamTypes: ['show'] }), [4])
      assert.deepEqual(await found({ streamTypes: [], types: [], tags: [] }), [1, 2, 3, 4, 5])
    },

    'A rare event is found through any number of others, by pages that may be short but always move on': async (
      open,
    ) => {
      const storage = await open()
      const common = () =>
        storage.commit(
          range(1, 10).map(() => ({
            id: crypto.randomUUID(),
            appends: [{ stream: `seat/${crypto.randomUUID()}`, expected: 0, events: events(1_000, 'Common') }],
          })),
        )
      await common()
      await write(storage, 'seat/rare', event('Rare', { tags: ['rare'] }))
      await common()
      await sequenced(storage, 'seat/rare', 1)
      for (const filter of [{ types: ['Rare'] }, { tags: ['rare'] }, { types: ['Rare', 'Never'], tags: ['rare'] }]) {
        for (const direction of ['forwards', 'backwards'] as const) {
          assert.deepEqual(typesOf(await logAll(storage, { ...filter, direction, limit: 10 })), ['Rare'])
        }
      }
    },

    'Streams are listed by type, least recently updated first, from an instant on, page by page': async (open) => {
      let now = 1_000
      const storage = await open({ clock: () => now })
      for (const [stream, time] of [
        ['seat/1', 1_000],
        ['seat/2', 2_000],
        ['show/1', 2_000],
        ['seat/3', 3_000],
        ['seat/1', 4_000],
      ] as const) {
        now = time
        await write(storage, stream, ...events(1))
      }
      await sequenced(storage, 'seat/1', 2)
      const list = async (query: object) => {
        const streams: string[] = []
        let cursor: string | undefined
        do {
          const page = await storage.listStreams({ type: 'seat', limit: 2, ...query, ...(cursor && { cursor }) })
          streams.push(...page.streams.map(({ stream, revision, time }) => `${stream} ${revision} ${time}`))
          cursor = page.next
        } while (cursor !== undefined)
        return streams
      }
      assert.deepEqual(await list({}), ['seat/2 1 2000', 'seat/3 1 3000', 'seat/1 2 4000'])
      assert.deepEqual(await list({ updatedFrom: 3_000 }), ['seat/3 1 3000', 'seat/1 2 4000'])
      assert.deepEqual(await list({ updatedFrom: 3_001 }), ['seat/1 2 4000'])
      assert.deepEqual(await list({ updatedFrom: 9_000 }), [])
      assert.deepEqual(await list({ type: 'nothing' }), [])
      await assert.rejects(list({ cursor: 'of no page' }), { code: 'invalid-argument', path: 'cursor' })
      assert.deepEqual(await storage.listStreamTypes(), ['seat', 'show'])
    },

    'From the tombstone on a stream reads as its tombstone alone, emptied or not': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(3))
      await forget(storage, 'seat/1')
      const page = await storage.readStream('seat/1', { after: 0, direction: 'forwards', limit: 10 })
      assert.deepEqual([page.head?.revision, page.head?.closed], [4, true])
      assert.deepEqual(
        page.records.map(({ state, revision }) => [state, revision]),
        [['tombstone', 4]],
      )
      assert.deepEqual(revisionsOf(await readAll(storage, 'seat/1', { direction: 'backwards', limit: 1 })), [4])
      assert.deepEqual(await readAll(storage, 'seat/1', { until: 3 }), [])
      const [listed] = (await storage.listStreams({ type: 'seat', limit: 10 })).streams
      assert.deepEqual([listed?.stream, listed?.revision, listed?.closed], ['seat/1', 4, true])
    },

    'A wake-up comes at the start, after a commit here, and after a commit by another handle': async (open) => {
      const [mine, other] = [await open(), await open()]
      const ended = new AbortController()
      const wakes = mine.wake(ended.signal)[Symbol.asyncIterator]()
      const woken = async () => {
        const result = await Promise.race([
          wakes.next(),
          new Promise<'late'>((resolve) => setTimeout(resolve, 10_000, 'late')),
        ])
        assert.notEqual(result, 'late')
        return (result as IteratorResult<void>).done
      }
      assert.equal(await woken(), false)
      await write(mine, 'seat/1', ...events(1))
      assert.equal(await woken(), false)
      await write(other, 'seat/1', ...events(1))
      assert.equal(await woken(), false)
      ended.abort()
      while (!(await woken())) {}
    },
  })

/** One event for each time, recorded at it. */
async function timed(open: Opener<Setting, Storage>, stream: string, times: readonly number[]): Promise<Storage> {
  let now = 0
  const storage = await open({ clock: () => now })
  for (const time of times) {
    now = time
    await write(storage, stream, ...events(1))
  }
  await sequenced(storage, stream, times.length)
  return storage
}
