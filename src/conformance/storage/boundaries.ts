/** Decision reads and the conditions that guard what is decided from them. */
import assert from 'node:assert/strict'
import type { AppendCondition } from '../../core/query.ts'
import type { Storage } from '../../core/storage.ts'
import {
  append,
  cases,
  commit,
  event,
  events,
  forget,
  is,
  type OpenStorage,
  range,
  revisionsOf,
  sequenced,
  typesOf,
  write,
} from '../kit.ts'

const seat = { query: [{ tags: ['seat:1'] }] }

export const boundaries = (open: OpenStorage) =>
  cases(open, {
    'A condition over the whole log fails on any event that matches, and names it': async (open) => {
      const storage = await open()
      is(await reserve(storage, 'order/1', seat), 'committed')
      const failed = is(await reserve(storage, 'order/2', seat), 'condition-failed')
      assert.deepEqual([failed.stream, failed.revision], ['order/1', 1])
      is(await reserve(storage, 'order/2', { query: [{ tags: ['seat:2'] }] }), 'committed')
    },

    'A condition after a position fails only on what came later': async (open) => {
      const storage = await open()
      is(await reserve(storage, 'order/1', seat), 'committed')
      const after = await sequenced(storage, 'order/1', 1)
      is(await reserve(storage, 'order/2', { ...seat, after: after - 1 }), 'condition-failed')
      is(await reserve(storage, 'order/2', { ...seat, after }), 'committed')
      is(await reserve(storage, 'order/3', { ...seat, after }), 'condition-failed')
    },

    'An item matches an event that has one of its types and all of its tags; a query, one that matches any item':
      async (open) => {
        const storage = await open()
        await write(storage, 'order/1', event('Reserved', { tags: ['seat:1', 'ann'] }))
        const fails = async (...query: AppendCondition['query']) =>
          (await commit(storage, [append(`order/${crypto.randomUUID()}`, 0, ...events(1))], { condition: { query } }))
            .outcome !== 'committed'
        assert.equal(await fails({ types: ['Reserved'], tags: ['seat:1'] }), true)
        assert.equal(await fails({ types: ['Freed', 'Reserved'], tags: ['seat:1'] }), true)
        assert.equal(await fails({ types: ['Freed'], tags: ['seat:1'] }), false)
        assert.equal(await fails({ tags: ['ann', 'seat:1'] }), true)
        assert.equal(await fails({ tags: ['ann', 'seat:2'] }), false)
        assert.equal(await fails({ tags: ['ann', 'ann'] }), true)
        assert.equal(await fails({ types: ['Freed'], tags: ['ann'] }, { tags: ['seat:1'] }), true)
        assert.equal(await fails({ types: ['Freed'], tags: ['ann'] }, { tags: ['seat:2'] }), false)
        if (storage.abilities.conditions === 'any') {
          assert.equal(await fails({ types: ['Reserved'] }), true)
          assert.equal(await fails({ types: ['Freed'] }), false)
        }
      },

    'A condition that fails leaves nothing behind': async (open) => {
      const storage = await open()
      is(await reserve(storage, 'order/1', seat), 'committed')
      is(await reserve(storage, 'order/2', seat), 'condition-failed')
      assert.equal((await storage.readStream('order/2', { after: 0, direction: 'forwards', limit: 1 })).head, undefined)
      await write(storage, 'order/3', ...events(1))
      assert.equal(await sequenced(storage, 'order/3', 1), 2)
    },

    'Commits handed over together are seen by the conditions of those behind them': async (open) => {
      const storage = await open()
      const reserving = (stream: string) => ({
        id: crypto.randomUUID(),
        appends: [append(stream, 0, event('Reserved', { tags: ['seat:1'] }))],
        condition: seat,
      })
      const outcomes = await storage.commit([reserving('order/1'), reserving('order/2'), reserving('order/3')])
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ['committed', 'condition-failed', 'condition-failed'],
      )
    },

    'A decision read gives all events of its query in their order, and a guard for the condition': async (open) => {
      const storage = await open()
      const tagged = (type: string, ...tags: string[]) => event(type, { tags })
      await write(storage, 'order/1', tagged('Reserved', 'seat:1'), tagged('Reserved', 'seat:2'))
      await write(storage, 'order/2', tagged('Freed', 'seat:1'), tagged('Noted', 'seat:1'))
      const query = [{ types: ['Reserved', 'Freed'], tags: ['seat:1'] }, { tags: ['seat:2'] }]
      const page = await storage.readBoundary(query, 0, 100)
      assert.deepEqual(typesOf(page.records), ['Reserved', 'Reserved', 'Freed'])
      assert.equal(page.more, false)
      const { guard } = page
      is(await commit(storage, [append('order/3', 0, ...events(1))], { condition: { query, guard } }), 'committed')
      await write(storage, 'order/4', tagged('Noted', 'seat:1'))
      is(await commit(storage, [append('order/5', 0, ...events(1))], { condition: { query, guard } }), 'committed')
      await write(storage, 'order/6', tagged('Freed', 'seat:1'))
      is(
        await commit(storage, [append('order/7', 0, ...events(1))], { condition: { query, guard } }),
        'condition-failed',
      )
    },

    'A decision read of nothing gives a guard too': async (open) => {
      const storage = await open()
      await write(storage, 'order/1', ...events(3))
      const { records, guard } = await storage.readBoundary(seat.query, 0, 100)
      assert.deepEqual(records, [])
      is(await reserve(storage, 'order/2', { ...seat, guard }), 'committed')
      is(await reserve(storage, 'order/3', { ...seat, guard }), 'condition-failed')
    },

    'A decision read in pages gives every event once, and its last guard covers them all': async (open) => {
      const storage = await open()
      for (const id of range(1, 23)) {
        await write(storage, `order/${id}`, event('Reserved', { tags: ['seat:1'] }), ...events(2))
      }
      for (const limit of [1, 5, 23, 100]) {
        const streams: string[] = []
        let guard = ''
        for (let from = 0, more = true; more; ) {
          const page = await storage.readBoundary(seat.query, from, limit)
          streams.push(...page.records.map(({ stream }) => stream))
          guard = page.guard
          from = page.scannedTo
          more = page.more
        }
        assert.deepEqual(
          streams,
          range(1, 23).map((id) => `order/${id}`),
        )
        is(
          await commit(storage, [append(`done/${limit}`, 0, ...events(1))], { condition: { ...seat, guard } }),
          'committed',
        )
      }
    },

    'A guard that no decision read gave fails its own commit only': async (open) => {
      const storage = await open()
      const outcomes = await storage.commit([
        { id: '1', appends: [append('order/1', 0, ...events(1))], condition: { ...seat, guard: 'nonsense' } },
        { id: '2', appends: [append('order/2', 0, ...events(1))] },
      ])
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ['failed', 'committed'],
      )
    },

    'A condition after a position that the log does not have is an error: the log has lost events, or is another':
      async (open) => {
        const storage = await open()
        is(await reserve(storage, 'order/1', seat), 'committed')
        const after = (await sequenced(storage, 'order/1', 1)) + 1
        const outcome = is(await reserve(storage, 'order/2', { ...seat, after }), 'failed')
        assert.equal((outcome.cause as { code?: string }).code, 'position-beyond-head')
        assert.equal(
          (await storage.readStream('order/2', { after: 0, direction: 'forwards', limit: 1 })).head,
          undefined,
        )
      },

    'Tombstones and forgotten events are in no decision read and match no condition over the whole log': async (
      open,
    ) => {
      const storage = await open()
      await write(storage, 'order/1', event('Reserved', { tags: ['seat:1'] }))
      await forget(storage, 'order/1')
      assert.deepEqual((await storage.readBoundary(seat.query, 0, 100)).records, [])
      is(await reserve(storage, 'order/2', seat), 'committed')
      if (storage.abilities.conditions === 'any') {
        const condition = { query: [{ types: ['$forgotten'] }] }
        is(await commit(storage, [append('order/3', 0, ...events(1))], { condition }), 'committed')
      }
    },

    'A forgotten event beyond a position fails the condition: what it was can no longer be asked': async (open) => {
      const storage = await open()
      await write(storage, 'order/0', ...events(1))
      const after = await sequenced(storage, 'order/0', 1)
      const other = { query: [{ types: ['Freed'], tags: ['seat:9'] }] }
      await write(storage, 'order/1', event('Reserved', { tags: ['seat:9'] }), ...events(1))
      is(await reserve(storage, 'order/2', { ...other, after }), 'committed')
      await sequenced(storage, 'order/2', 1)
      await forget(storage, 'order/1')
      is(await reserve(storage, 'order/3', { ...other, after }), 'condition-failed')
      const fresh = await storage.readBoundary(other.query, 0, 100)
      is(await reserve(storage, 'order/3', { ...other, guard: fresh.guard }), 'committed')
    },

    'A trimmed event still stands in conditions, and a decision read says where it went': async (open) => {
      const storage = await open()
      await write(storage, 'order/1', event('Reserved', { tags: ['seat:1'] }))
      await sequenced(storage, 'order/1', 1)
      await storage.erase({ erase: 'trim', stream: 'order/1', from: 1, to: 1, segment: 'segment-1' })
      is(await reserve(storage, 'order/2', seat), 'condition-failed')
      const [record] = (await storage.readBoundary(seat.query, 0, 100)).records
      assert.equal(record?.state === 'trimmed' && record.segment, 'segment-1')
      assert.deepEqual(revisionsOf([record ?? assert.fail()]), [1])
    },
  })

function reserve(storage: Storage, stream: string, condition: AppendCondition) {
  return commit(storage, [append(stream, 0, event('Reserved', { tags: ['seat:1'] }))], { condition })
}
