/** Backups: taken while the store is in use, one after the other, and restored whole or not at all. */
import assert from 'node:assert/strict'
import { gunzip } from '../../core/gzip.ts'
import { listObjects, type ObjectStore } from '../../core/object-store.ts'
import { restoreBackup } from '../../core/restore.ts'
import { entriesHash } from '../../core/segment.ts'
import type { Storage } from '../../core/storage.ts'
import { openStore, type Store } from '../../core/store.ts'
import { cases, logAll, type Opener, type OpenObjects, type OpenStorage, range, type Setting } from '../kit.ts'
import { collect, fill, positionOf } from './kit.ts'

export const backingUp = (open: OpenStorage, openObjects: OpenObjects) => {
  const place = () => openObjects({ name: `backup-${crypto.randomUUID()}` })
  const fresh = (open: Opener<Setting, Storage>) => open({ name: `restored-${crypto.randomUUID()}` })
  return cases(open, {
    'A restored log is the one that was backed up: records, evidence, times, and the entries of the ledger': async (
      open,
    ) => {
      const source = await open()
      const store = await openStore(source)
      await used(store)
      const [first, second] = [await place(), await place()]
      const backup = await store.backup(first)
      assert.deepEqual([backup.number, backup.from, backup.to], [1, 0, (await store.info()).head])
      const there = await fresh(open)
      assert.deepEqual(await restoreBackup(first, there), backup)
      const back = await fresh(open)
      await using between = await openStore(there)
      await between.backup(second)
      await restoreBackup(second, back)
      const [before, after] = [await recordsOf(source), await recordsOf(back)]
      assert.deepEqual(after, before)
      assert.equal(entriesHash(after), entriesHash(before))
      assert.equal(entriesHash(await recordsOf(there)), entriesHash(before))
      await using restored = await openStore(back)
      await restored.append('guest/1', [{ type: 'Visited' }], { expected: 5 })
      await assert.rejects(restored.append('guest/2', [{ type: 'Visited' }]), { code: 'stream-forgotten' })
    },

    'What waits, is scheduled, is declared, and how far consumers are, comes back': async (open) => {
      const store = await openStore(await open())
      await used(store)
      await store.jobs.add('mail', { key: 'welcome', input: { to: 'ann' }, streams: ['guest/1'] })
      await store.jobs.schedule('nightly', { cron: '0 3 * * *', kind: 'report' })
      await store.eventTypes.declare({ type: 'Paid', version: 1, schema: { type: 'object' } })
      const consumer = await store.consumers.run({ name: 'mailer', handler: async () => {} })
      await consumer.whenCaughtUp()
      await consumer.stop()
      const objects = await place()
      await store.backup(objects)
      const there = await fresh(open)
      await restoreBackup(objects, there)
      await using restored = await openStore(there)
      assert.deepEqual(await restored.jobs.get('mail/welcome'), await store.jobs.get('mail/welcome'))
      assert.deepEqual(await restored.jobs.schedules(), await store.jobs.schedules())
      assert.deepEqual(await restored.eventTypes.list(), await store.eventTypes.list())
      const handled: number[] = []
      const handler = async ({ position = 0 }: { readonly position?: number }) => void handled.push(position)
      await restored.append('guest/1', [{ type: 'Visited' }])
      await positionOf(restored, 'guest/1')
      const again = await restored.consumers.run({ name: 'mailer', handler })
      await again.whenCaughtUp()
      assert.deepEqual(handled, [(await restored.info()).head])
      // It holds something of the stream still, and goes with it.
      await restored.forget('guest/1', { reasonCode: 'asked' })
      assert.equal(await restored.jobs.get('mail/welcome'), undefined)
      await store.close()
    },

    'Each backup holds what has come since the one before; without news it is the same again': async (open) => {
      const source = await open()
      const store = await openStore(source)
      const objects = await place()
      await used(store)
      const first = await store.backup(objects)
      assert.deepEqual(await store.backup(objects), first)
      await fill(store, ['guest/9'], 3)
      await positionOf(store, 'guest/9')
      const second = await store.backup(objects)
      assert.deepEqual([second.number, second.from, second.to], [2, first.to, first.to + 3])
      const there = await fresh(open)
      await restoreBackup(objects, there)
      assert.equal(entriesHash(await recordsOf(there)), entriesHash(await recordsOf(source)))
      const lines = await linesOf(objects)
      assert.equal(lines.filter((line) => line.startsWith('{"position"')).length, second.to)
    },

    'A stream that was forgotten after it was backed up does not come back': async (open) => {
      const source = await open()
      const store = await openStore(source)
      const objects = await place()
      await store.append('guest/7', [{ type: 'Visited', data: 'secret' }])
      await positionOf(store, 'guest/7')
      await store.backup(objects)
      await store.forget('guest/7', { reasonCode: 'asked' })
      await positionOf(store, 'guest/7')
      await store.backup(objects)
      const there = await fresh(open)
      await restoreBackup(objects, there)
      const records = await recordsOf(there)
      assert.deepEqual(
        records.map(({ state }) => state),
        ['forgotten', 'tombstone'],
      )
      assert.equal(entriesHash(records), entriesHash(await recordsOf(source)))
      assert.doesNotMatch(JSON.stringify(records), /secret/)
    },

    'A backup that is damaged, cut short, or lacks an object is told with its name, and nothing is restored': async (
      open,
    ) => {
      const store = await openStore(await open())
      const objects = await place()
      await used(store)
      await store.backup(objects)
      await fill(store, ['guest/9'], 1)
      await positionOf(store, 'guest/9')
      await store.backup(objects)
      const all = await collect(listObjects(objects, ''))
      assert.equal(all.length, 6)
      // Documents come from the newest backup alone, and nobody can tell that there was a newer one.
      for (const { key } of all.filter(({ key }) => !/0001-.*documents/.test(key))) {
        const good = (await objects.get(key))?.bytes ?? assert.fail('it is not there')
        const flipped = good.map((byte, index) => (index === good.length >> 1 ? byte ^ 1 : byte))
        for (const bytes of [flipped, good.slice(0, -9), undefined]) {
          if (bytes === undefined && key.endsWith('2.json')) continue
          if (bytes) await objects.put(key, bytes)
          else await objects.delete(key)
          const there = await fresh(open)
          await assert.rejects(restoreBackup(objects, there), (error: Error & { code: string; place: string }) => {
            assert.deepEqual([error.code, error.place], ['object-damaged', objects.name], `${key}: ${error.message}`)
            return true
          })
          assert.equal((await there.readLog({ after: 0, direction: 'forwards', limit: 1 })).head, 0)
        }
        await objects.put(key, good)
      }
      await restoreBackup(objects, await fresh(open))
    },

    'A restore that was ended goes on, and one into a store that is in use is refused': async (open) => {
      const source = await open()
      const store = await openStore(source)
      const objects = await place()
      for (const _ of range(1, 3)) {
        await used(store, `guest${_}`)
        await store.backup(objects)
      }
      const there = await fresh(open)
      const ended = new AbortController()
      const onProgress = ({ phase, position }: { readonly phase: string; readonly position: number }) => {
        if (phase === 'restoring' && position > 0) ended.abort()
      }
      await assert.rejects(restoreBackup(objects, there, { signal: ended.signal, onProgress }), { name: 'AbortError' })
      await restoreBackup(objects, there)
      assert.equal(entriesHash(await recordsOf(there)), entriesHash(await recordsOf(source)))
      const other = await fresh(open)
      await using inUse = await openStore(other)
      await inUse.append('guest/1', [{ type: 'Visited' }])
      await positionOf(inUse, 'guest/1')
      await assert.rejects(restoreBackup(objects, other), { code: 'invalid-argument' })
      assert.equal((await inUse.info()).head, 1)
    },

    'A place with the backups of another log is not written to, and an empty one cannot be restored': async (open) => {
      const objects = await place()
      const [here, there] = [await openStore(await open()), await openStore(await fresh(open))]
      await used(here)
      await here.backup(objects)
      const object = `"backup/00000001.json" in ${objects.name}`
      await assert.rejects(there.backup(objects), { code: 'position-beyond-head', object })
      await used(there)
      await assert.rejects(there.backup(objects), { code: 'log-diverged', object })
      assert.equal((await collect(listObjects(objects, ''))).length, 3)
      await assert.rejects(restoreBackup(await place(), await fresh(open)), { code: 'invalid-argument' })
      await there.close()
    },
  })
}

/** Two guests and a stream that was forgotten, one event archived away. */
async function used(store: Store, type = 'guest'): Promise<void> {
  for (const data of range(1, 5)) {
    await store.append(`${type}/1`, [{ type: 'Visited', tags: ['ann'], data }])
    await store.append(`${type}/2`, [{ type: 'Visited', data: { text: `ä😀${data}` }, meta: { by: 'me' } }])
    await store.append(`${type}/3`, [{ type: 'Visited' }])
  }
  for (const guest of range(1, 3)) await positionOf(store, `${type}/${guest}`)
  await store.forget(`${type}/2`, { reasonCode: 'asked' })
  await positionOf(store, `${type}/2`)
}

function recordsOf(storage: Storage) {
  return logAll(storage, { evidence: true })
}

async function linesOf(objects: ObjectStore): Promise<readonly string[]> {
  const lines: string[] = []
  for (const { key } of await collect(listObjects(objects, ''))) {
    if (!key.endsWith('.gz')) continue
    const text = await gunzip((await objects.get(key))?.bytes ?? new Uint8Array(), 10_000_000)
    lines.push(...text.split('\n').filter(Boolean))
  }
  return lines
}
