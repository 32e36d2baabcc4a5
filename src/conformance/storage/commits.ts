/** Atomic commits, revisions, positions and record times. */
import assert from 'node:assert/strict'
import { canonicalJson } from '../../core/encoding.ts'
import type { Expected } from '../../core/errors.ts'
import { limits } from '../../core/limits.ts'
import {
  append,
  cases,
  commit,
  commitOf,
  event,
  events,
  forget,
  is,
  logAll,
  type OpenStorage,
  outcomesOf,
  positionsOf,
  range,
  readAll,
  revisionsOf,
  sequenced,
  typesOf,
  write,
} from '../kit.ts'

export const commits = (open: OpenStorage) =>
  cases(open, {
    'Events get the revisions 1, 2, 3 … of their stream and the positions 1, 2, 3 … of the log': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(2))
      await write(storage, 'seat/2', ...events(1))
      await write(storage, 'seat/1', ...events(3))
      assert.deepEqual(revisionsOf(await readAll(storage, 'seat/1')), [1, 2, 3, 4, 5])
      assert.deepEqual(revisionsOf(await readAll(storage, 'seat/2')), [1])
      await sequenced(storage, 'seat/1', 5)
      const log = await logAll(storage)
      assert.deepEqual(positionsOf(log), range(1, 6))
    },

    'A commit answers with the first and last revision, the time and (where it is known by then) the position': async (
      open,
    ) => {
      const storage = await open({ clock: () => 1_700_000_000_123 })
      await write(storage, 'seat/1', ...events(2))
      const { streams, repeated } = await write(storage, 'seat/1', ...events(3))
      assert.equal(repeated, false)
      const position = storage.abilities.positions === 'at-commit' ? { position: 5 } : {}
      assert.deepEqual(streams, [{ stream: 'seat/1', first: 3, last: 5, time: 1_700_000_000_123, ...position }])
      assert.equal(await sequenced(storage, 'seat/1', 5), 5)
    },

    'What is stored is the content to the byte: any JSON, any script, up to the largest event': async (open) => {
      const storage = await open()
      const odd = event('Überraschung 🎫', {
        id: 'id with blanks / and "quotes"',
        data: { z: 1, a: [null, true, -0.5, 1e21, ''], text: '\u0000\u2028 "\\ 🎟 é e\u0301', '': {} },
        meta: { occurredAt: '2010-10-02T09:20:39.266+02:00' },
        tags: ['b', 'ä', '🎫', 'a'],
      })
      const large = event('Large', { data: 'x'.repeat(limits.eventBytes - 100) })
      await write(storage, 'seat/größe 🎭', odd, large)
      const records = await readAll(storage, 'seat/größe 🎭')
      assert.deepEqual(
        records.map((record) => record.state === 'stored' && record.content),
        [odd.content, large.content],
      )
      assert.equal(odd.content, canonicalJson(JSON.parse(odd.content)))
    },

    'An append for which documents were made at one end of the stream conflicts at another, whatever it expects':
      async (open) => {
        const storage = await open()
        const at = (at: number, expected: Expected = 'any') => ({ ...append('seat/1', expected, ...events(1)), at })
        assert.equal(is(await commit(storage, [at(0, 'exists')]), 'conflict').actual, 0)
        is(await commit(storage, [at(0)]), 'committed')
        assert.equal(is(await commit(storage, [at(0, 'exists')]), 'conflict').actual, 1)
        assert.equal(is(await commit(storage, [at(0)]), 'conflict').actual, 1)
        is(await commit(storage, [at(1, 'exists')]), 'committed')
        const refused = is(await commit(storage, [at(1, 'exists')]), 'conflict')
        assert.deepEqual([refused.stream, refused.expected, refused.actual], ['seat/1', 'exists', 2])
        is(await commit(storage, [at(2, 2)]), 'committed')
        const chained = await storage.commit([3, 4, 4].map((end) => commitOf([at(end)])))
        assert.deepEqual(outcomesOf(chained), ['committed', 'committed', 'conflict'])
        assert.equal((await readAll(storage, 'seat/1')).length, 5)
      },

    'A repeat is one wherever its documents were made for; a closed stream is forgotten': async (open) => {
      const storage = await open()
      const first = { ...append('seat/1', 'any', ...events(2)), at: 0 }
      is(await commit(storage, [first]), 'committed')
      await write(storage, 'seat/1', ...events(1))
      for (const again of [first, { ...first, at: 2 }, { ...first, at: 3 }]) {
        const { repeated, streams } = is(await commit(storage, [again]), 'committed')
        assert.deepEqual([repeated, streams[0]?.first, streams[0]?.last], [true, 1, 2])
      }
      await forget(storage, 'seat/1')
      is(await commit(storage, [first]), 'forgotten')
      assert.equal((await readAll(storage, 'seat/1')).length, 1)
    },

    'A commit to several streams is in all of them, side by side in the log, or in none': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(1))
      const both = [append('seat/1', 1, ...events(2)), append('seat/2', 0, ...events(2))]
      is(await commit(storage, both), 'committed')
      await sequenced(storage, 'seat/2', 2)
      assert.deepEqual(
        (await logAll(storage)).map(({ stream }) => stream),
        ['seat/1', 'seat/1', 'seat/1', 'seat/2', 'seat/2'],
      )
      is(await commit(storage, [append('seat/1', 3, ...events(1)), append('seat/2', 1, ...events(1))]), 'conflict')
      assert.equal((await readAll(storage, 'seat/1')).length, 3)
      assert.equal((await readAll(storage, 'seat/2')).length, 2)
    },

    'A stream that is not at the expected number is a conflict that tells the actual revision': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(2))
      for (const expected of [0, 1, 3]) {
        const conflict = is(await commit(storage, [append('seat/1', expected, ...events(1))]), 'conflict')
        assert.deepEqual(conflict, { outcome: 'conflict', stream: 'seat/1', expected, actual: 2 })
      }
      is(await commit(storage, [append('seat/1', 2, ...events(1))]), 'committed')
      const absent = is(await commit(storage, [append('seat/2', 7, ...events(1))]), 'conflict')
      assert.equal(absent.actual, 0)
    },

    'Expected 0 takes a new stream only': async (open) => {
      const storage = await open()
      is(await commit(storage, [append('seat/1', 0, ...events(1))]), 'committed')
      assert.equal(is(await commit(storage, [append('seat/1', 0, ...events(1))]), 'conflict').actual, 1)
    },

    "Expected 'exists' takes a stream that has an event, whatever its revision": async (open) => {
      const storage = await open()
      assert.equal(is(await commit(storage, [append('seat/1', 'exists', ...events(1))]), 'conflict').actual, 0)
      await write(storage, 'seat/1', ...events(4))
      is(await commit(storage, [append('seat/1', 'exists', ...events(1))]), 'committed')
    },

    "Expected 'any' takes every stream": async (open) => {
      const storage = await open()
      is(await commit(storage, [append('seat/1', 'any', ...events(1))]), 'committed')
      is(await commit(storage, [append('seat/1', 'any', ...events(1))]), 'committed')
      assert.deepEqual(revisionsOf(await readAll(storage, 'seat/1')), [1, 2])
    },

    'An append without events checks its stream and is left out of the answer': async (open) => {
      const storage = await open()
      await write(storage, 'show/1', ...events(2))
      const stale = is(await commit(storage, [append('seat/1', 0, ...events(1)), append('show/1', 1)]), 'conflict')
      assert.deepEqual([stale.stream, stale.actual], ['show/1', 2])
      is(await commit(storage, [append('seat/1', 0, ...events(1)), append('show/9', 'exists')]), 'conflict')
      const done = is(await commit(storage, [append('show/1', 2), append('seat/1', 0, ...events(1))]), 'committed')
      assert.deepEqual(
        done.streams.map(({ stream }) => stream),
        ['seat/1'],
      )
      assert.equal((await readAll(storage, 'show/1')).length, 2)
    },

    'Commits handed over together see those before them, and each has its own outcome': async (open) => {
      const storage = await open()
      const [first, second, third] = events(3)
      assert.ok(first && second && third)
      const outcomes = await storage.commit([
        commitOf([append('seat/1', 0, first)]),
        commitOf([append('seat/1', 0, second)]),
        commitOf([append('seat/1', 1, third)]),
        commitOf([append('seat/1', 0, first)]),
      ])
      assert.deepEqual(outcomesOf(outcomes), ['committed', 'conflict', 'committed', 'committed'])
      assert.equal(is(outcomes[1], 'conflict').actual, 1)
      assert.equal(is(outcomes[3], 'committed').repeated, true)
      assert.deepEqual(revisionsOf(await readAll(storage, 'seat/1')), [1, 2])
    },

    'A refused commit leaves nothing behind: no event, no gap, no name of a stream': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(1))
      is(await commit(storage, [append('seat/2', 0, ...events(5)), append('seat/1', 0, ...events(5))]), 'conflict')
      await write(storage, 'seat/3', ...events(1))
      assert.equal(await sequenced(storage, 'seat/3', 1), 2)
      assert.equal((await storage.readStream('seat/2', { after: 0, direction: 'forwards', limit: 1 })).head, undefined)
      const listed = await storage.listStreams({ type: 'seat', limit: 10 })
      assert.deepEqual(listed.streams.map(({ stream }) => stream).sort(), ['seat/1', 'seat/3'])
    },

    'A commit over a limit of the storage is refused with the limit by name': async (open) => {
      const storage = await open()
      const most = storage.limits.commitStreams
      const appends = range(1, most + 1).map((id) => append(`seat/${id}`, 0, ...events(1)))
      const outcome = is(await commit(storage, appends), 'limit')
      assert.deepEqual(outcome, { outcome: 'limit', limit: 'commitStreams', allowed: most, actual: most + 1 })
      assert.equal((await readAll(storage, 'seat/1')).length, 0)
    },

    'The largest commit that is allowed goes in whole': async (open) => {
      const storage = await open()
      const size = Math.floor((limits.appendBytes - 100_000) / limits.appendEvents)
      const all = range(1, limits.appendEvents).map((data) =>
        event('Large', { data: { data, fill: 'x'.repeat(size - 200) } }),
      )
      is(await commit(storage, [append('seat/1', 0, ...all)]), 'committed')
      const page = await storage.readStream('seat/1', { after: 999, direction: 'forwards', limit: 1 })
      assert.equal(page.head?.revision, limits.appendEvents)
    },

    'The record time never falls, also when the clock goes back': async (open) => {
      const times = [5_000, 3_000, 9_000]
      let now = 0
      const storage = await open({ clock: () => now })
      for (const time of times) {
        now = time
        await write(storage, 'seat/1', ...events(1))
      }
      assert.deepEqual(
        (await readAll(storage, 'seat/1')).map(({ time }) => time),
        [5_000, 5_000, 9_000],
      )
    },

    'What was committed is there after the storage was closed and opened again': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(3, 'Before'))
      await sequenced(storage, 'seat/1', 3)
      const { logId } = await storage.readLog({ after: 0, direction: 'forwards', limit: 1 })
      await storage.close()
      const again = await open()
      await write(again, 'seat/1', ...events(1, 'After'))
      assert.deepEqual(typesOf(await readAll(again, 'seat/1')), ['Before', 'Before', 'Before', 'After'])
      assert.equal(await sequenced(again, 'seat/1', 4), 4)
      assert.equal((await again.readLog({ after: 0, direction: 'forwards', limit: 1 })).logId, logId)
    },
  })
