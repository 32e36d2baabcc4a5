import { describe, expect, test } from 'vitest'
import { logAll, range } from '../conformance/kit.ts'
import { collect, until } from '../conformance/store/kit.ts'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { memoryObjects } from './fixtures/memory-objects.ts'
import { gunzip } from './gzip.ts'
import { masterKeyOf } from './master-key.ts'
import { keysUnder, listObjects, type ObjectStore } from './object-store.ts'
import { restoreBackup } from './restore.ts'
import { entriesHash } from './segment.ts'
import type { Storage } from './storage.ts'
import { type EmbeddedStore, openStore } from './store.ts'
import type { Subjects } from './subject.ts'
import { verifyRecords } from './verify-records.ts'

const secret = 'of-nobody-else'
const asked = { reasonCode: 'asked' }

/** Two guests in two segments and two backups; the second one has a secret. */
async function setting() {
  const [objects, backups, log] = [memoryObjects('archive'), memoryObjects('backups'), memoryLog()]
  const archive = { objects, retention: { guest: { keepDays: 0 } } }
  const open = (between: (objects: ObjectStore) => ObjectStore = (same) => same, options: object = {}) =>
    openStore(memoryStorage({ log }), {
      archive: { ...archive, objects: between(objects) },
      backups: [between(backups)],
      ...options,
    })
  const store = await open()
  for (const _ of range(1, 2)) {
    await visited(store)
    await store.backup(backups)
    await store.archive.run()
  }
  return { objects, backups, log, open, store }
}

async function visited(store: EmbeddedStore): Promise<void> {
  for (const visit of range(1, 3)) {
    await store.append('guest/1', [{ type: 'Visited', data: { visit } }])
    await store.append('guest/2', [{ type: 'Visited', data: secret, meta: { secret }, tags: [secret] }])
  }
}

async function holdsSecret(objects: ObjectStore): Promise<boolean> {
  for await (const { key } of listObjects(objects, '')) {
    const bytes = (await objects.get(key))?.bytes ?? new Uint8Array()
    const text = key.endsWith('.gz') ? await gunzip(bytes, 10_000_000) : new TextDecoder().decode(bytes)
    if (text.includes(secret)) return true
  }
  return false
}

/** The object store until its `calls`th call; there the process is as good as dead, before the call or right after it. */
function dyingAt(calls: number, when: 'before' | 'after') {
  let left = calls
  return (objects: ObjectStore): ObjectStore => {
    const step = async <Answer>(run: () => Promise<Answer>): Promise<Answer> => {
      if (left-- > 0) return run()
      if (when === 'after' && left === -1) await run()
      throw new Error('died')
    }
    return {
      ...objects,
      put: (...all) => step(() => objects.put(...all)),
      get: (...all) => step(() => objects.get(...all)),
      list: (...all) => step(() => objects.list(...all)),
      delete: (...all) => step(() => objects.delete(...all)),
    }
  }
}

describe('forgetting in segments and backups', () => {
  for (const when of ['before', 'after'] as const) {
    test(`an end right ${when} any call to an object store is made good by the next opening`, async () => {
      let dead = true
      for (let calls = 0; dead; calls++) {
        const { objects, backups, log, open } = await setting()
        const before = entriesHash(await logAll(memoryStorage({ log }), { evidence: true }))
        const dying = await open(dyingAt(calls, when))
        dead = await dying.forget('guest/2', asked).then(
          () => false,
          () => true,
        )
        if (!(await dying.details('guest/2'))?.forgotten) continue
        const store = await open()
        for (const place of [objects, backups]) expect([calls, await holdsSecret(place)]).toEqual([calls, false])
        const report = await store.forget('guest/2', asked)
        expect([calls, report.segments, report.backups]).toEqual([calls, 2, 2])
        expect(await store.archive.verify()).toEqual({ segments: 2, events: 12, damaged: [], unknown: [] })
        expect((await collect(store.read('guest/1'))).length).toBe(6)
        expect((await collect(store.read('$audit/erasures'))).length).toBe(1)
        const records = await logAll(memoryStorage({ log }), { evidence: true })
        expect(entriesHash(records.slice(0, 12))).toBe(before)
        expect((await verifyRecords(records)).fault).toBeUndefined()
        const there = memoryStorage()
        const { to } = await restoreBackup(backups, there)
        expect(entriesHash(await logAll(there, { evidence: true }))).toBe(entriesHash(records.slice(0, to)))
        // Three manifests, and for each a chunk and the documents: nothing else lies about.
        expect((await keysUnder(backups, 'backup/')).length).toBe(9)
      }
    })
  }

  test('several at the same time, of several streams in the same segments, leave each other whole', async () => {
    const { objects, backups, open, store } = await setting()
    const stores = [store, await open(), await open()]
    const reports = await Promise.allSettled(
      stores.flatMap((store) => ['guest/1', 'guest/2'].map((stream) => store.forget(stream, asked))),
    )
    expect(reports.filter(({ status }) => status === 'rejected')).toEqual([])
    for (const place of [objects, backups]) expect(await holdsSecret(place)).toBe(false)
    expect(await store.archive.verify()).toEqual({ segments: 2, events: 12, damaged: [], unknown: [] })
    await restoreBackup(backups, memoryStorage())
  })

  test('a reader of the segment as it was finds it as it is; what he read before the tombstone, he reads again', async () => {
    const { objects, open, store } = await setting()
    const segments = new Set(await keysUnder(objects, 'segments/'))
    let forgotten = false
    const late = await open((place) => ({
      ...place,
      async get(key) {
        if (!forgotten && segments.has(key)) {
          forgotten = true
          await store.forget('guest/2', asked)
        }
        return place.get(key)
      },
    }))
    const [tombstone, ...more] = await collect(late.read('guest/2'))
    expect([forgotten, tombstone?.tombstone, more]).toEqual([true, true, []])
    expect((await collect(late.read('guest/1'))).length).toBe(6)
  })

  test('a log restored from a backup that knows the segments as they were reads them as they are', async () => {
    const { objects, backups, store } = await setting()
    const old = memoryObjects('copy')
    for await (const { key } of listObjects(backups, ''))
      await old.put(key, (await backups.get(key))?.bytes as Uint8Array)
    await store.forget('guest/2', asked)
    const there = memoryStorage()
    await restoreBackup(old, there)
    const restored = await openStore(there, { archive: { objects, retention: {} } })
    expect((await collect(restored.read('guest/1'))).length).toBe(6)
    expect((await restored.archive.verify()).damaged).toEqual([])
  })

  test('a damaged backup is told before anything is forgotten, a damaged segment once all the rest is', async () => {
    const { objects, backups, store, open } = await setting()
    const key = 'backup/00000001.json'
    const good = (await backups.get(key))?.bytes as Uint8Array
    await backups.put(key, good.slice(1))
    await expect(store.forget('guest/2', asked)).rejects.toMatchObject({
      code: 'object-damaged',
      key,
      place: 'backups',
    })
    expect((await collect(store.read('guest/2'))).length).toBe(6)
    await backups.put(key, good)

    const segment = (await keysUnder(objects, 'segments/')).find((one) => one.endsWith('.gz')) as string
    const whole = (await objects.get(segment))?.bytes as Uint8Array
    await objects.put(segment, whole.slice(1))
    await expect(store.forget('guest/2', asked)).rejects.toMatchObject({ code: 'object-damaged', key: segment })
    expect(await holdsSecret(backups)).toBe(false)
    const job = await store.jobs.get('$forget/guest/2')
    expect([job?.state, job?.error?.code]).toEqual(['waiting', 'object-damaged'])
    await objects.put(segment, whole)
    await open()
    expect(await holdsSecret(objects)).toBe(false)
    expect((await store.jobs.get('$forget/guest/2'))?.state).toBe('done')
  })

  test('what a place keeps of deleted objects is told, with the instant until which it is locked', async () => {
    const { open } = await setting()
    const until = '2030-01-01T00:00:00.000Z'
    const store = await open((place) => ({
      ...place,
      keeps: async (key) => (key.endsWith('.gz') ? { until } : undefined),
    }))
    const { remains } = await store.forget('guest/2', asked)
    expect(remains).toMatchObject([
      { where: 'older versions of objects', place: 'archive', objects: 2, until },
      { where: 'older versions of objects', place: 'backups', objects: 2, until },
    ])
    expect((await store.forget('guest/2', asked)).remains).toEqual(remains)
  })

  test('what a backup left that failed is cleared away, and one that was begun before cannot be recorded', async () => {
    const { backups, store, open } = await setting()
    await store.append('guest/2', [{ type: 'Visited', data: secret }])
    let forgotten = false
    const slow: ObjectStore = {
      ...backups,
      async put(key, bytes, condition) {
        if (!forgotten && key.endsWith('000001.ndjson.gz')) {
          forgotten = true
          await backups.put(key, bytes, condition)
          await store.forget('guest/2', asked)
        }
        return backups.put(key, bytes, condition)
      },
      delete: async () => {},
    }
    await expect((await open()).backup(slow)).rejects.toMatchObject({ code: 'store-busy' })
    await (await open()).forget('guest/1', asked)
    expect(await holdsSecret(backups)).toBe(false)
  })
})

describe('forgetting a subject in segments and backups', () => {
  const encryption = { masterKey: masterKeyOf([new Uint8Array(32).fill(7)]) }
  const subject = { subject: 'person/2', ...asked }

  /** Five streams of one subject among those of another, in two segments and two backups. */
  async function subjectSetting() {
    const [objects, backups, log] = [memoryObjects('archive'), memoryObjects('backups'), memoryLog()]
    const archive = { objects, retention: { diary: { keepDays: 0 } } }
    const rules: Subjects = { events: { Wrote: { subject: 'person/{/by}', own: true } } }
    const open = (between: (objects: ObjectStore) => ObjectStore = (same) => same, storage = memoryStorage({ log })) =>
      openStore(storage, {
        ...{ subjects: rules, archive: { ...archive, objects: between(objects) }, backups: [between(backups)] },
      })
    const store = await open()
    for (const _ of range(1, 2)) {
      for (const diary of range(1, 5)) {
        await store.append(`diary/${diary}`, [{ type: 'Wrote', data: { by: 2, secret } }])
        await store.append(`diary/other-${diary}`, [{ type: 'Wrote', data: { by: 1 } }])
      }
      await store.backup(backups)
      await store.archive.run()
    }
    return { objects, backups, log, open, store }
  }

  test('its streams are erased together: each segment is written anew once, one backup is taken, bytes are overwritten once', async () => {
    const { objects, backups, log, open } = await subjectSetting()
    const storage = memoryStorage({ log })
    let scrubs = 0
    const counting: Storage = {
      ...storage,
      erase(step) {
        if (step.erase === 'scrub') scrubs++
        return storage.erase(step)
      },
    }
    const written: string[] = []
    const store = await open(
      (place) => ({
        ...place,
        put: (key, ...more) => {
          written.push(key)
          return place.put(key, ...more)
        },
      }),
      counting,
    )
    const { streams, events, segments, backups: rewritten } = await store.forget(subject)
    expect({ streams, events, segments, rewritten, scrubs }).toEqual({
      ...{ streams: 5, events: 10, segments: 2, rewritten: 2, scrubs: 1 },
    })
    // A segment is its content and its manifest.
    expect(written.filter((key) => key.startsWith('segments/')).length).toBe(4)
    expect(written.filter((key) => /^backup\/\d+\.json$/.test(key)).toSorted()).toEqual([
      'backup/00000001.json',
      'backup/00000002.json',
      'backup/00000003.json',
    ])
    for (const place of [objects, backups]) expect(await holdsSecret(place)).toBe(false)
    const trail = (await collect(store.read('$audit/erasures'))).map(({ type }) => type)
    expect(trail).toEqual(['$subject-forgotten', '$content-erased'])
  })

  for (const when of ['before', 'after'] as const) {
    test(`an end right ${when} any call to an object store is made good by the next opening, and told as a whole`, async () => {
      let dead = true
      for (let calls = 0; dead; calls += 3) {
        const { objects, backups, log, open } = await subjectSetting()
        const dying = await open(dyingAt(calls, when))
        dead = await dying.forget(subject).then(
          () => false,
          () => true,
        )
        if (!(await dying.details('diary/5'))?.forgotten) continue
        const store = await open()
        for (const place of [objects, backups]) expect([calls, await holdsSecret(place)]).toEqual([calls, false])
        const report = await store.forget(subject)
        expect([calls, report]).toMatchObject([calls, { streams: 5, events: 10, segments: 2, backups: 2 }])
        expect(await store.archive.verify()).toEqual({ segments: 2, events: 20, damaged: [], unknown: [] })
        expect((await collect(store.read('$audit/erasures'))).length).toBe(2)
        await restoreBackup(backups, memoryStorage())
        expect((await verifyRecords(await logAll(memoryStorage({ log }), { evidence: true }))).fault).toBeUndefined()
      }
    })
  }

  test('its key leaves backups too, where nothing else of it is in them, and no backup that was begun before brings it back', async () => {
    const [backups, log] = [memoryObjects('backups'), memoryLog()]
    const shared: Subjects = { events: { Wrote: { subject: 'person/{/by}', fields: ['/secret'] } } }
    const store = await openStore(memoryStorage({ log }), { subjects: shared, encryption, backups: [backups] })
    await store.append('diary/1', [{ type: 'Wrote', data: { by: 2, secret } }])
    await store.backup(backups)
    const restoredName = async () => {
      const there = memoryStorage()
      await restoreBackup(backups, there)
      const restored = await openStore(there, { encryption })
      return (await restored.readPage('diary/1')).events[0]?.data
    }
    expect(await restoredName()).toEqual({ by: 2, secret })
    const other = await openStore(memoryStorage({ log }), { encryption })
    await other.append('diary/2', [{ type: 'Opened' }])
    let forgotten = false
    await other.backup({
      ...backups,
      async put(key, bytes, condition) {
        if (!forgotten && key.startsWith('backup/keys/') && !key.includes('store')) {
          forgotten = true
          expect(await store.forget(subject)).toMatchObject({ key: 'destroyed', streams: 0, masked: 1 })
          expect(await restoredName()).toEqual({ by: 2, secret: null })
        }
        return backups.put(key, bytes, condition)
      },
    })
    expect(forgotten).toBe(true)
    expect(await restoredName()).toEqual({ by: 2, secret: null })
  })

  test('jobs and parked streams of those in which it is masked lose it in backups too', async () => {
    const [backups, log] = [memoryObjects('backups'), memoryLog()]
    const shared: Subjects = { events: { Wrote: { subject: 'person/{/by}', fields: ['/secret'] } } }
    const store = await openStore(memoryStorage({ log }), { subjects: shared, encryption, backups: [backups] })
    await store.append('diary/1', [{ type: 'Wrote', data: { by: 2, secret } }])
    await store.jobs.add('print', { key: 'it', input: { secret }, streams: ['diary/1'] })
    const consumer = await store.consumers.run({
      ...{ name: 'printer', streamTypes: ['diary'], tries: 1 },
      handler: async () => {
        throw new Error(secret)
      },
    })
    await until(async () => (await store.consumers.status('printer')).parked === 1)
    await consumer.stop()
    await store.backup(backups)
    expect(await holdsSecret(backups)).toBe(true)
    expect(await store.forget(subject)).toMatchObject({ masked: 1, kinds: { jobs: 1 }, backups: 1 })
    expect(await holdsSecret(backups)).toBe(false)
    const there = memoryStorage()
    await restoreBackup(backups, there)
    const restored = await openStore(there, { encryption })
    expect((await restored.consumers.parked('printer')).parked.map(({ item }) => item)).toEqual(['diary/1'])
    expect(await restored.jobs.get('print/it')).toBeUndefined()
  })

  test('a first backup that was begun before a stream was forgotten is not recorded', async () => {
    const [backups, log] = [memoryObjects('backups'), memoryLog()]
    const store = await openStore(memoryStorage({ log }), { backups: [backups] })
    await store.append('diary/1', [{ type: 'Wrote', data: { by: 2, secret } }])
    let forgotten = false
    const late = store.backup({
      ...backups,
      async put(key, bytes, condition) {
        if (!forgotten && key.endsWith('.gz')) {
          forgotten = true
          await store.forget('diary/1', asked)
        }
        return backups.put(key, bytes, condition)
      },
    })
    await expect(late).rejects.toMatchObject({ code: 'store-busy' })
    expect([forgotten, await holdsSecret(backups)]).toEqual([true, false])
    await restoreBackup(backups, memoryStorage())
  })
})
