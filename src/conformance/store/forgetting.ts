/** Forgetting reaches what has left the storage: archive segments and backups are written anew, and what they prove stays. */
import assert from 'node:assert/strict'
import { gunzip } from '../../core/gzip.ts'
import { listObjects, type ObjectStore } from '../../core/object-store.ts'
import { restoreBackup } from '../../core/restore.ts'
import { entriesHash } from '../../core/segment.ts'
import { type EmbeddedStore, openStore } from '../../core/store.ts'
import { verifyRecords } from '../../core/verify-records.ts'
import { cases, logAll, type OpenObjects, type OpenStorage, range } from '../kit.ts'
import { collect, positionOf } from './kit.ts'

const secret = 'of-nobody-else'
const reason = { reasonCode: 'asked', principal: 'clerk' }

export const forgetting = (open: OpenStorage, openObjects: OpenObjects) => {
  const place = () => openObjects({ name: `forgotten-${crypto.randomUUID()}` })
  return cases(open, {
    'Forgetting writes archive segments anew without the content; what else is in them is read as before': async (
      open,
    ) => {
      const objects = await place()
      const archive = { objects, retention: { guest: { keepEvents: 1 } } }
      const storage = await open()
      const store = await openStore(storage, { archive })
      await visited(store)
      await store.archive.run()
      const other = await openStore(await open(), { archive })
      const before = await collect(other.read('guest/1'))
      const digest = entriesHash(await logAll(storage, { evidence: true }))
      assert.ok((await textOf(objects)).includes(secret))

      const report = await store.forget('guest/2', reason)
      assert.deepEqual([report.events, report.segments, report.backups], [4, 1, 0])
      assert.ok(!(await textOf(objects)).includes(secret))
      for (const reader of [store, other, await openStore(await open(), { archive })]) {
        assert.deepEqual(await collect(reader.read('guest/1')), before)
        const [tombstone, ...more] = await collect(reader.read('guest/2'))
        assert.deepEqual([tombstone?.meta, more], [reason, []])
      }
      assert.deepEqual(await store.archive.verify(), { segments: 1, events: 6, damaged: [], unknown: [] })
      const records = await logAll(storage, { evidence: true })
      assert.equal(entriesHash(records.slice(0, 8)), digest)
      assert.equal((await verifyRecords(records)).fault, undefined)

      assert.deepEqual(await store.forget('guest/2', reason), report)
      const trail = await collect(store.read('$audit/erasures'))
      assert.deepEqual(
        trail.map(({ type, data }) => [type, (data as { segments: number }).segments]),
        [['$content-erased', 1]],
      )
      await assert.rejects(store.append('$audit/erasures', [{ type: 'Mine' }]), { code: 'invalid-argument' })
      await store.close()
    },

    'Forgetting writes backups anew; restored from them the log has the same digest, and not the content': async (
      open,
    ) => {
      const backups = await place()
      const storage = await open()
      const store = await openStore(storage, { backups: [backups] })
      await visited(store)
      await store.jobs.add('mail', { key: 'greet', input: { text: secret }, streams: ['guest/2'] })
      await store.backup(backups)
      await store.append('guest/1', [{ type: 'Visited', data: { place: 'later' } }])
      await positionOf(store, 'guest/1')
      await store.backup(backups)
      assert.ok((await textOf(backups)).includes(secret))

      const report = await store.forget('guest/2', reason)
      assert.deepEqual(report.kinds, { jobs: 1 })
      // The events of the first, and the documents of both.
      assert.deepEqual([report.segments, report.backups], [0, 3])
      assert.ok(!(await textOf(backups)).includes(secret))
      const there = await open({ name: `restored-${crypto.randomUUID()}` })
      const { number, to } = await restoreBackup(backups, there)
      assert.equal(number, 3)
      const [before, after] = [await logAll(storage, { evidence: true }), await logAll(there, { evidence: true })]
      assert.equal(entriesHash(after), entriesHash(before.slice(0, to)))
      assert.equal((await verifyRecords(after)).fault, undefined)
      await using restored = await openStore(there)
      await assert.rejects(restored.append('guest/2', [{ type: 'Visited' }]), { code: 'stream-forgotten' })
      assert.equal((await collect(restored.read('guest/1'))).length, 5)
      await store.backup(backups)
      assert.equal((await restoreBackup(backups, await open({ name: `again-${crypto.randomUUID()}` }))).number, 4)
      await store.close()
    },

    'What is out of reach is told, and is reached by whoever can': async (open) => {
      const [objects, backups] = [await place(), await place()]
      const archive = { objects, retention: { guest: { keepEvents: 0 } } }
      const first = await openStore(await open(), { archive, backups: [backups] })
      await visited(first)
      await first.backup(backups)
      await first.archive.run()
      const without = await openStore(await open())
      const { remains, segments } = await without.forget('guest/2', reason)
      assert.equal(segments, 0)
      assert.ok(remains.some(({ where, objects }) => where === 'archive segments' && objects === 1))
      assert.ok((await textOf(objects)).includes(secret))

      const store = await openStore(await open(), { archive, backups: [backups] })
      for (const place of [objects, backups]) assert.ok(!(await textOf(place)).includes(secret))
      const report = await store.forget('guest/2', reason)
      assert.deepEqual([report.events, report.segments, report.backups], [4, 1, 1])
      assert.ok(report.remains.every(({ where }) => where !== 'archive segments'))
      await store.close()
    },
  })
}

/** Two guests with four events each, one after the other in the log; the second has a secret in data, meta and tags. */
async function visited(store: EmbeddedStore): Promise<void> {
  for (const visit of range(1, 4)) {
    await store.append('guest/1', [{ type: 'Visited', data: { visit } }])
    const event = { type: 'Visited', data: { text: secret }, meta: { by: secret }, tags: [secret] }
    await store.append('guest/2', [event])
  }
  for (const stream of ['guest/1', 'guest/2']) await positionOf(store, stream)
}

/** All that is in a place, unpacked. */
async function textOf(objects: ObjectStore): Promise<string> {
  let text = ''
  for (const { key } of await collect(listObjects(objects, ''))) {
    const bytes = (await objects.get(key))?.bytes ?? new Uint8Array()
    text += key.endsWith('.gz') ? await gunzip(bytes, 10_000_000) : new TextDecoder().decode(bytes)
  }
  return text
}
