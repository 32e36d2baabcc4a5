/** Trimming and forgetting keep the key and the proof of every record; restoring brings all of it back. */
import assert from 'node:assert/strict'
import { indexQuery, putDocument, wordsQuery } from '../../core/document.ts'
import { entryOf } from '../../core/leaf.ts'
import { limits } from '../../core/limits.ts'
import type { CollectionSpec, LogRecord, Storage } from '../../core/storage.ts'
import {
  append,
  cases,
  closing,
  commit,
  eraseEvents,
  event,
  events,
  forget,
  is,
  logAll,
  type OpenStorage,
  range,
  readAll,
  sequenced,
  typesOf,
  write,
} from '../kit.ts'

export const erasing = (open: OpenStorage) =>
  cases(open, {
    'Every record has the entry that its leaf is made of: given, or following from its commitment': async (open) => {
      const storage = await filled(open)
      for (const record of await evidence(storage)) {
        assert.equal(record.evidence?.salt?.length, 32)
        assert.equal(record.evidence?.commitment?.length, 32)
        assert.equal(entry(record).length, 32)
      }
    },

    'A trimmed record keeps all but its content, and names its segment': async (open) => {
      const storage = await filled(open)
      const before = await evidence(storage)
      const step = await storage.erase({ erase: 'trim', stream: 'seat/1', from: 1, to: 2, segment: 'segment-1' })
      assert.deepEqual(step, { erased: 2, done: true })
      const after = await evidence(storage)
      assert.deepEqual(after.map(entry), before.map(entry))
      assert.deepEqual(
        after.map(({ state }) => state),
        ['trimmed', 'trimmed', 'stored', 'stored', 'stored'],
      )
      const [first] = await readAll(storage, 'seat/1')
      assert.ok(first?.state === 'trimmed')
      assert.deepEqual([first.type, first.tags, first.segment], ['Reserved', ['ann', 'seat:1'], 'segment-1'])
      assert.equal('content' in first, false)
      const again = await storage.erase({ erase: 'trim', stream: 'seat/1', from: 1, to: 2, segment: 'segment-1' })
      assert.deepEqual(again, { erased: 0, done: true })
      assert.deepEqual(typesOf(await logAll(storage, { tags: ['ann'] })), ['Reserved'])
      assert.deepEqual(typesOf(await logAll(storage, { types: ['Freed'] })), ['Freed'])
    },

    'A forgotten record keeps stream, revision, position, time and entry, and nothing else': async (open) => {
      const storage = await filled(open)
      const before = await evidence(storage)
      await storage.erase({ erase: 'trim', stream: 'seat/1', from: 1, to: 1, segment: 'segment-1' })
      const tombstone = await forget(storage, 'seat/1')
      await sequenced(storage, 'seat/1', 4)
      const after = await evidence(storage)
      assert.deepEqual(after.slice(0, 5).map(entry), before.map(entry))
      for (const record of after.filter(({ stream, revision }) => stream === 'seat/1' && revision < 4)) {
        assert.deepEqual(Object.keys(record).sort(), ['evidence', 'position', 'revision', 'state', 'stream', 'time'])
        assert.equal(record.state, 'forgotten')
        assert.deepEqual([record.evidence?.salt, record.evidence?.commitment], [undefined, undefined])
      }
      const last = after.at(-1)
      assert.ok(last?.state === 'tombstone')
      assert.equal(last.content, tombstone.content)
    },

    'What a closed stream held is hidden before it is emptied': async (open) => {
      const storage = await filled(open)
      const before = await evidence(storage)
      is(await commit(storage, [closing('seat/1', event('$forgotten'))]), 'committed')
      await sequenced(storage, 'seat/1', 4)
      const hidden = await evidence(storage)
      assert.deepEqual(hidden.slice(0, 5).map(entry), before.map(entry))
      assert.deepEqual(
        hidden.map(({ state }) => state),
        ['forgotten', 'forgotten', 'stored', 'stored', 'forgotten', 'tombstone'],
      )
      assert.deepEqual(typesOf(await logAll(storage, { types: ['Reserved', 'Freed'] })), ['Reserved', '$forgotten'])
      assert.deepEqual(typesOf(await logAll(storage, { tags: ['ann'] })), ['$forgotten'])
      await eraseEvents(storage, 'seat/1')
      assert.deepEqual((await evidence(storage)).map(entry), hidden.map(entry))
    },

    'A feed without filters, or by stream type only, shows forgotten entries; by event type or tag it leaves them out':
      async (open) => {
        const storage = await filled(open)
        await forget(storage, 'seat/1')
        await sequenced(storage, 'seat/1', 4)
        const feed = async (filter: object) => {
          const types = typesOf(await logAll(storage, { limit: 2, ...filter }))
          assert.deepEqual(
            typesOf(await logAll(storage, { limit: 2, ...filter, direction: 'backwards' })),
            types.toReversed(),
          )
          return types
        }
        const gone = '(forgotten)'
        assert.deepEqual(await feed({}), [gone, gone, 'Reserved', 'Opened', gone, '$forgotten'])
        assert.deepEqual(await feed({ streamTypes: ['seat'] }), [gone, gone, 'Reserved', gone, '$forgotten'])
        assert.deepEqual(await feed({ streamTypes: ['show'] }), ['Opened'])
        assert.deepEqual(await feed({ types: ['Reserved'] }), ['Reserved', '$forgotten'])
        assert.deepEqual(await feed({ tags: ['seat:1'] }), ['$forgotten'])
      },

    'A tombstone passes every filter of its stream type, whatever event types and tags it names': async (open) => {
      const storage = await filled(open)
      await forget(storage, 'seat/1')
      await sequenced(storage, 'seat/1', 4)
      for (const filter of [
        { types: ['Never'] },
        { tags: ['never'] },
        { streamTypes: ['seat'], types: ['Never'], tags: ['x', 'y'] },
      ]) {
        assert.deepEqual(typesOf(await logAll(storage, filter)), ['$forgotten'])
      }
      assert.deepEqual(typesOf(await logAll(storage, { streamTypes: ['show'], types: ['Never'] })), [])
    },

    'Only the events of a closed stream can be forgotten': async (open) => {
      const storage = await filled(open)
      await assert.rejects(storage.erase({ erase: 'events', stream: 'seat/1', from: 1 }), { code: 'invalid-argument' })
      assert.deepEqual(typesOf(await readAll(storage, 'seat/1')), ['Reserved', 'Freed', 'Reserved'])
    },

    'A long stream is emptied in bounded steps, and can be from anywhere again': async (open) => {
      const storage = await open()
      const count = limits.eraseRecords * 2 + 10
      for (let left = count; left > 0; left -= 1_000) await write(storage, 'seat/1', ...events(Math.min(1_000, left)))
      is(await commit(storage, [closing('seat/1', event('$forgotten'))]), 'committed')
      await sequenced(storage, 'seat/1', count + 1)
      const first = await storage.erase({ erase: 'events', stream: 'seat/1', from: 1 })
      assert.deepEqual(first, { erased: limits.eraseRecords, next: limits.eraseRecords + 1, done: false })
      const again = await storage.erase({ erase: 'events', stream: 'seat/1', from: 1 })
      assert.deepEqual(again, { ...first, erased: 0 })
      await eraseEvents(storage, 'seat/1')
      const left = (await evidence(storage)).filter(({ state }) => state !== 'forgotten')
      assert.deepEqual(
        left.map(({ state }) => state),
        ['tombstone'],
      )
      assert.equal((await storage.erase({ erase: 'scrub' })).done, true)
    },

    'An id that was forgotten can no longer be seen, and is free in another stream': async (open) => {
      const storage = await open()
      await write(storage, 'seat/1', event('Happened', { id: 'one', data: 'secret' }))
      await forget(storage, 'seat/1')
      is(await commit(storage, [append('seat/2', 0, event('Happened', { id: 'one', data: 'other' }))]), 'committed')
    },

    'A log restored into an empty one is the same: keys, times, content, evidence, heads, filters': async (open) => {
      const source = await filled(open)
      await source.erase({ erase: 'trim', stream: 'seat/2', from: 1, to: 1, segment: 'segment-1' })
      await forget(source, 'seat/1')
      await sequenced(source, 'seat/1', 4)
      const records = await evidence(source)
      const target = await open({ name: `restored-${crypto.randomUUID()}` })
      await target.restore(records.slice(0, 2))
      await target.restore(records.slice(2))
      assert.deepEqual(await evidence(target), records)
      for (const filter of [{ types: ['Opened'] }, { tags: ['seat:1'] }, { streamTypes: ['seat'] }]) {
        assert.deepEqual(await logAll(target, filter), await logAll(source, filter))
      }
      const heads = async (storage: Storage) => (await storage.listStreams({ type: 'seat', limit: 10 })).streams
      assert.deepEqual(await heads(target), await heads(source))
      is(await commit(target, [append('seat/1', 'any', ...events(1))]), 'forgotten')
      await write(target, 'seat/2', ...events(1))
      assert.equal(await sequenced(target, 'seat/2', 2), 7)
    },

    'Nothing is restored into a log that was written, out of order, or without its evidence': async (open) => {
      const source = await filled(open)
      const records = await evidence(source)
      await assert.rejects(source.restore(records), { code: 'invalid-argument' })
      const fresh = () => open({ name: `restored-${crypto.randomUUID()}` })
      const target = await fresh()
      await target.restore(records.slice(0, 2))
      await assert.rejects(target.restore(records.slice(3)), { code: 'invalid-argument' })
      await assert.rejects(target.restore(records.slice(0, 1)), { code: 'invalid-argument' })
      await write(target, 'seat/9', ...events(1))
      const next = { ...(records[2] ?? assert.fail()), position: 4 }
      await assert.rejects(target.restore([next]), { code: 'invalid-argument' })
      const bare = await logAll(source)
      await assert.rejects((await fresh()).restore(bare), { code: 'invalid-argument' })
    },

    'A collection is emptied in bounded steps, with its indexes, words and streams, and no other': async (open) => {
      const storage = await open()
      const spec = (collection: string): CollectionSpec => {
        return { collection, indexes: [{ name: 'by', equals: ['of'] }], search: ['text'] }
      }
      const [here, there] = [spec('of one'), spec('of one too')]
      await storage.declare([here, there])
      const put = (into: CollectionSpec, keys: readonly number[]) => {
        const documents = keys.flatMap((key) => {
          const body = { of: 'all', text: 'words' }
          return putDocument(into, { key: String(key), body, streams: ['seat/1'], if: { is: 'anything' } })
        })
        return commit(storage, [], { documents })
      }
      for (let key = 1; key <= 1_010; key += 10) is(await put(here, range(key, key + 9)), 'committed')
      is(await put(there, [1]), 'committed')
      let erased = 0
      for (let cursor: string | undefined, done = false; !done; ) {
        const step = await storage.erase({ erase: 'collection', collection: here.collection, cursor })
        erased += step.erased
        cursor = step.cursor
        done = step.done
      }
      assert.equal(erased, 1_010)
      const byIndex = (of: CollectionSpec) =>
        storage.queryDocuments(indexQuery(of, { index: 'by', equals: ['all'], limit: 5 }))
      const byWord = (of: CollectionSpec) => storage.queryDocuments(wordsQuery(of, { text: 'word', limit: 5 }))
      for (const find of [byIndex, byWord]) {
        assert.deepEqual((await find(here)).documents, [])
        assert.equal((await find(there)).documents.length, 1)
      }
      assert.deepEqual(await storage.getDocuments([{ collection: here.collection, key: '7' }]), [undefined])
      // It may be declared otherwise now, and is as good as new.
      const other: CollectionSpec = { collection: here.collection, indexes: [{ name: 'of', equals: ['of'] }] }
      await storage.declare([other])
      is(await put(other, [1]), 'committed')
      const found = await storage.queryDocuments(indexQuery(other, { index: 'of', equals: ['all'] }))
      assert.equal(found.documents.length, 1)
      assert.equal((await storage.erase({ erase: 'collection', collection: 'never there' })).erased, 0)
    },
  })

/** seat/1: Reserved, Freed, Reserved; seat/2: Reserved; show/1: Opened. */
async function filled(open: () => Promise<Storage>): Promise<Storage> {
  const storage = await open()
  await write(
    storage,
    'seat/1',
    event('Reserved', { tags: ['ann', 'seat:1'], data: 'secret' }),
    event('Freed', { tags: ['seat:1'] }),
  )
  await write(storage, 'seat/2', event('Reserved', { tags: ['seat:2'] }))
  await write(storage, 'show/1', event('Opened'))
  await write(storage, 'seat/1', event('Reserved', { tags: ['seat:1'], data: range(1, 3) }))
  await sequenced(storage, 'seat/1', 3)
  return storage
}

function evidence(storage: Storage): Promise<readonly LogRecord[]> {
  return logAll(storage, { evidence: true })
}

function entry(record: LogRecord): Uint8Array {
  const { entry, commitment } = record.evidence ?? {}
  return entry ?? entryOf({ ...record, commitment: commitment ?? assert.fail('neither entry nor commitment') })
}
