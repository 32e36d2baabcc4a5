/** Retries: the same append again is answered with the first outcome, and nothing else may use its ids. */
import assert from 'node:assert/strict'
import type { CommitOutcome } from '../../core/storage.ts'
import {
  append,
  cases,
  closing,
  commit,
  event,
  events,
  forget,
  is,
  type OpenStorage,
  readAll,
  sequenced,
  write,
} from '../kit.ts'

export const retries = (open: OpenStorage) =>
  cases(open, {
    'The same append again is answered with the first outcome, also after others have written': async (open) => {
      const storage = await open()
      for (const expected of [0, 'any', 'exists'] as const) {
        const stream = `seat/${expected}`
        if (expected === 'exists') await write(storage, stream, ...events(1))
        const mine = [append(stream, expected, ...events(3))]
        const first = is(await commit(storage, mine), 'committed')
        await write(storage, stream, ...events(2))
        const again = is(await commit(storage, mine), 'committed')
        assert.equal(again.repeated, true)
        assert.deepEqual(withoutPositions(again), withoutPositions(first))
      }
    },

    'The same append to several streams again is answered with the first outcome': async (open) => {
      const storage = await open()
      const mine = [append('seat/1', 0, ...events(2)), append('seat/2', 'any', ...events(1))]
      const first = is(await commit(storage, mine), 'committed')
      await write(storage, 'seat/2', ...events(1))
      const again = is(await commit(storage, mine), 'committed')
      assert.equal(again.repeated, true)
      assert.deepEqual(withoutPositions(again), withoutPositions(first))
      assert.equal((await readAll(storage, 'seat/2')).length, 2)
    },

    'A repeat is known by ids and content alone: the first salt stays': async (open) => {
      const storage = await open()
      const one = event('Happened', { id: 'one', data: 1 })
      const again = event('Happened', { id: 'one', data: 1 })
      assert.notDeepEqual(one.salt, again.salt)
      is(await commit(storage, [append('seat/1', 0, one)]), 'committed')
      assert.equal(is(await commit(storage, [append('seat/1', 0, again)]), 'committed').repeated, true)
      await sequenced(storage, 'seat/1', 1)
      const page = await storage.readLog({ after: 0, direction: 'forwards', limit: 1, evidence: true })
      assert.deepEqual(page.records[0]?.evidence?.commitment, one.commitment)
    },

    'A re-used id with other content is an error that says where the id is taken': async (open) => {
      const storage = await open()
      for (const expected of [0, 'any'] as const) {
        const stream = `seat/${expected}`
        const id = `one of ${stream}`
        is(await commit(storage, [append(stream, expected, event('Happened', { id, data: 1 }))]), 'committed')
        const other = event('Happened', { id, data: 2 })
        const outcome = is(await commit(storage, [append(stream, expected, other)]), 'id-reused')
        assert.deepEqual(outcome, { outcome: 'id-reused', id, stream, revision: 1 })
        assert.equal((await readAll(storage, stream)).length, 1)
      }
    },

    'An id that another stream has is refused where the storage sees ids everywhere': async (open) => {
      const storage = await open()
      const one = event('Happened', { id: 'one' })
      await write(storage, 'seat/1', one)
      const outcome = await commit(storage, [append('seat/2', 0, one)])
      if (storage.abilities.ids === 'everywhere') assert.equal(is(outcome, 'id-reused').stream, 'seat/1')
      else is(outcome, 'committed')
    },

    'An append that repeats a part of an earlier one, and more, is refused whole': async (open) => {
      const storage = await open()
      const [a, b, c] = events(3)
      assert.ok(a && b && c)
      is(await commit(storage, [append('seat/1', 0, a, b)]), 'committed')
      for (const overlap of [
        [a, c],
        [c, b],
        [b, a],
        [a, b, c],
      ]) {
        const outcome = await commit(storage, [append('seat/1', 0, ...overlap)])
        assert.ok(outcome.outcome === 'id-reused' || storage.abilities.ids === 'per-append', outcome.outcome)
        assert.notEqual(outcome.outcome, 'committed')
      }
      assert.equal((await readAll(storage, 'seat/1')).length, 2)
    },

    'A repeat is told before a conflict, a condition or a document can stand against it': async (open) => {
      const storage = await open()
      const key = { collection: 'views', key: '1' }
      const mine = [append('seat/1', 0, event('Reserved', { tags: ['seat:1'] }))]
      const more = {
        condition: { query: [{ tags: ['seat:1'] }] },
        documents: [{ kind: 'put', key, body: '{}', index: [], if: { is: 'absent' } }],
      } as const
      is(await commit(storage, mine, more), 'committed')
      assert.equal(is(await commit(storage, mine, more), 'committed').repeated, true)
    },

    'The order of the checks: closed, then repeated, then expected, condition and documents': async (open) => {
      const storage = await open()
      const mine = [append('seat/1', 0, event('Reserved', { tags: ['seat:1'] }))]
      is(await commit(storage, mine), 'committed')
      const key = { collection: 'views', key: '1' }
      const documents = [{ kind: 'check', key, if: { is: 'version', version: 'none' } }] as const
      const condition = { query: [{ tags: ['seat:1'] }] }
      const late = [append('seat/1', 7, ...events(1))]
      is(await commit(storage, late, { condition, documents }), 'conflict')
      is(await commit(storage, [append('seat/1', 1, ...events(1))], { condition, documents }), 'condition-failed')
      is(await commit(storage, [append('seat/1', 1, ...events(1))], { documents }), 'document-conflict')
      await forget(storage, 'seat/1')
      is(await commit(storage, late, { condition, documents }), 'forgotten')
    },

    'Many tries of one append at once, on two handles, write it once': async (open) => {
      const handles = [await open(), await open()]
      for (const expected of [0, 'any'] as const) {
        const stream = `seat/${expected}`
        const mine = [append(stream, expected, ...events(3))]
        const tries = Array.from({ length: 20 }, (_, index) => commit(handles[index % 2] ?? assert.fail(), mine))
        const outcomes = (await Promise.all(tries)).map((outcome) => is(outcome, 'committed'))
        assert.equal(outcomes.filter(({ repeated }) => !repeated).length, 1)
        assert.equal(new Set(outcomes.map((outcome) => JSON.stringify(withoutPositions(outcome)))).size, 1)
        assert.equal((await readAll(handles[0] ?? assert.fail(), stream)).length, 3)
      }
    },

    'A retry after trimming is answered with the first outcome; other content is still refused': async (open) => {
      const storage = await open()
      const mine = [append('seat/1', 0, event('Happened', { id: 'one', data: 1 }), event('Happened', { id: 'two' }))]
      const first = is(await commit(storage, mine), 'committed')
      await storage.erase({ erase: 'trim', stream: 'seat/1', from: 1, to: 2, segment: 'segment-1' })
      const again = is(await commit(storage, mine), 'committed')
      assert.equal(again.repeated, true)
      assert.deepEqual(withoutPositions(again), withoutPositions(first))
      const other = [append('seat/1', 0, event('Happened', { id: 'one', data: 2 }), event('Happened', { id: 'two' }))]
      is(await commit(storage, other), 'id-reused')
    },

    'A retry after forgetting is answered "forgotten", whatever it expects': async (open) => {
      const storage = await open()
      const mine = [append('seat/1', 0, ...events(2))]
      is(await commit(storage, mine), 'committed')
      await forget(storage, 'seat/1')
      is(await commit(storage, mine), 'forgotten')
      for (const expected of [0, 3, 'any', 'exists'] as const) {
        assert.equal(
          is(await commit(storage, [append('seat/1', expected, ...events(1))]), 'forgotten').stream,
          'seat/1',
        )
      }
      const check = [append('seat/2', 0, ...events(1)), append('seat/1', 'exists')]
      assert.equal(is(await commit(storage, check), 'forgotten').stream, 'seat/1')
    },

    "The tombstone's own append again is a repeat; another tombstone is refused": async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', ...events(2))
      const tombstone = event('$forgotten')
      const first = is(await commit(storage, [closing('seat/1', tombstone)]), 'committed')
      const again = is(await commit(storage, [closing('seat/1', tombstone)]), 'committed')
      assert.equal(again.repeated, true)
      assert.deepEqual(withoutPositions(again), withoutPositions(first))
      is(await commit(storage, [closing('seat/1', event('$forgotten'))]), 'forgotten')
    },
  })

/** On some storages a position is known only when a retry comes. */
function withoutPositions({ streams }: CommitOutcome & { outcome: 'committed' }) {
  return streams.map(({ position: _, ...rest }) => rest)
}
