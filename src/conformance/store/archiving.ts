/** Archived events are read as before, whoever reads; nothing is emptied before its segment is known to be whole. */
import assert from 'node:assert/strict'
import type { ArchiveOptions } from '../../core/archive.ts'
import type { Recorded } from '../../core/event.ts'
import { gunzip } from '../../core/gzip.ts'
import { listObjects, type ObjectStore } from '../../core/object-store.ts'
import { projection } from '../../core/projection.ts'
import type { EmbeddedStore, Store } from '../../core/store.ts'
import { cases, type OpenObjects, range } from '../kit.ts'
import { collect, fill, positionOf, type StoreSetting, until } from './kit.ts'

export type OpenEmbedded = (setting: StoreSetting) => Promise<EmbeddedStore>

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)

const visits = (lifecycle: 'inline' | 'async') =>
  projection<{ type: 'Visited'; data: { place: string } }, { places: string[] }>()({
    name: `visits-${lifecycle}`,
    lifecycle,
    streamTypes: ['guest'],
    on: { Visited: (view, { data }) => ({ places: [...(view?.places ?? []), data.place] }) },
  })

const counter = {
  initialState: () => 0,
  evolve: (count: number) => count + 1,
  decide: () => [{ type: 'Visited', data: { place: 'decided' } }],
  snapshot: { name: 'counter', version: 1 },
}

export const archiving = (open: OpenEmbedded, openObjects: OpenObjects) => {
  const objectsOf = () => openObjects({ name: `archive-${crypto.randomUUID()}` })
  return cases(open, {
    'Archived events are read as before: by stream, page, log, boundary, subscription, load': async (open) => {
      const objects = await objectsOf()
      const store = await open({ archive: { objects, retention: { guest: { keepDays: 0 } } } })
      await visited(store)
      const before = await readings(store)
      const [report] = await store.archive.run()
      assert.deepEqual(report, { streamType: 'guest', events: 12, segments: 1 })
      assert.deepEqual(await readings(store), before)
      const other = await open({ archive: { objects } })
      assert.deepEqual(await readings(other), before)
      const without = await open()
      await assert.rejects(collect(without.read('guest/1')), { code: 'event-archived' })
      assert.equal((await collect(without.read('hotel/1'))).length, 3)
      assert.deepEqual((await without.details('guest/1'))?.revision, 4)
    },

    'Verifying looks at what is in the archive, too, and names the first event that is not what was recorded': async (
      open,
    ) => {
      const objects = await objectsOf()
      const store = await open({ archive: { objects, retention: { guest: { keepDays: 0 } } } })
      await visited(store)
      await store.archive.run()
      const whole = await store.ledger.verify()
      assert.deepEqual([whole.fault, whole.events.trimmed, whole.unread], [undefined, 12, 0])
      const without = await (await open()).ledger.verify()
      assert.deepEqual([without.fault, without.unread], [undefined, 12])
      const { segments } = await store.archive.segments({ streamType: 'guest' })
      const [segment] = segments
      const key = `segments/guest/${segment?.id}.ndjson.gz`
      const bytes = new Uint8Array((await objects.get(key))?.bytes ?? assert.fail())
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
      await objects.put(key, bytes)
      const { fault } = await (await open({ archive: { objects } })).ledger.verify()
      assert.deepEqual([fault?.kind, fault?.position], ['archive', segment?.first])
    },

    'Views are made, and made again, from archived events': async (open) => {
      const archive = { objects: await objectsOf(), retention: { guest: { keepDays: 0 } } }
      const first = await open({ archive })
      await visited(first)
      await first.archive.run()
      const projections = [visits('inline'), visits('async')]
      const store = await open({ archive, projections })
      for (const each of projections) {
        await store.projections.rebuild(each.name)
        assert.deepEqual((await store.views.get(each, '2'))?.places, ['p1', 'p2', 'p3', 'p4'])
      }
      await store.append('guest/2', [{ type: 'Visited', data: { place: 'p5' } }])
      assert.equal((await store.views.get(visits('inline'), '2'))?.places.length, 5)
    },

    'What was archived is still there for writers: retries, expected revisions, decisions, conditions': async (
      open,
    ) => {
      const store = await open({ archive: { objects: await objectsOf(), retention: { guest: { keepDays: 0 } } } })
      const event = { id: 'first', type: 'Visited', tags: ['ann'], data: { place: 'p1' } }
      const appended = await store.append('guest/1', [event], { expected: 0 })
      await positionOf(store, 'guest/1')
      await store.archive.run()
      const again = await store.append('guest/1', [event], { expected: 0 })
      assert.deepEqual([again.repeated, again.revision], [true, appended.revision])
      await assert.rejects(store.append('guest/1', [{ type: 'Visited' }], { expected: 0 }), {
        code: 'revision-conflict',
      })
      const { events } = await store.readBoundary([{ tags: ['ann'] }])
      assert.deepEqual(
        events.map(({ data }) => data),
        [{ place: 'p1' }],
      )
      const { state } = await store.execute(counter, 'guest/1', {})
      assert.equal(state, 2)
    },

    'A policy keeps what is young, what is last, what no snapshot holds; and what any part of it keeps': async (
      open,
    ) => {
      const policies = {
        young: { keepDays: 2 },
        last: { keepEvents: 1 },
        since: { sinceSnapshot: counter.snapshot },
        all: { keepDays: 2, keepEvents: 2, sinceSnapshot: counter.snapshot },
        none: { keepEvents: 9 },
      }
      let now = start
      const clock = () => now
      const store = await open({ clock, archive: { objects: await objectsOf(), retention: policies } })
      const types = Object.keys(policies)
      for (const _ of range(1, 4)) {
        for (const type of types) await store.append(`${type}/1`, [{ type: 'Visited' }])
        if (now === start + 2 * day) for (const type of types) await store.snapshots.take(counter, `${type}/1`)
        now += day
      }
      for (const type of types) await positionOf(store, `${type}/1`)
      // Recorded on day 0 to 3; snapshots hold three events; today is day 4.
      const planned = await store.archive.plan()
      const wanted = { young: 3, last: 3, since: 2, all: 2, none: 0 }
      assert.deepEqual(Object.fromEntries(planned.map(({ streamType, events }) => [streamType, events])), wanted)
      assert.ok(planned.every(({ events, bytes }) => bytes >= events * 20))
      const run = await store.archive.run()
      assert.deepEqual(Object.fromEntries(run.map(({ streamType, events }) => [streamType, events])), wanted)
      const without = await open({ clock })
      for (const [type, gone] of Object.entries(wanted)) {
        const rest = await collect(without.read(`${type}/1`, { after: gone }))
        assert.equal(rest.length, 4 - gone)
        if (gone > 0) await assert.rejects(collect(without.read(`${type}/1`, { after: gone - 1 })))
      }
    },

    'A plan writes nothing, and a second run moves only what has come since': async (open) => {
      const objects = await objectsOf()
      const store = await open({ archive: { objects, retention: { guest: { keepEvents: 1 } } } })
      await visited(store)
      const planned = await store.archive.plan({ streamTypes: ['guest'] })
      assert.deepEqual(
        planned.map(({ events }) => events),
        [9],
      )
      assert.deepEqual(await keysOf(objects), [])
      assert.deepEqual((await store.archive.segments({ streamType: 'guest' })).segments, [])
      assert.equal((await store.archive.run())[0]?.events, 9)
      assert.equal((await store.archive.run())[0]?.events, 0)
      await store.append('guest/3', [{ type: 'Visited' }])
      await positionOf(store, 'guest/3')
      assert.equal((await store.archive.run())[0]?.events, 1)
      const { segments } = await store.archive.segments({ streamType: 'guest' })
      assert.deepEqual(
        segments.map(({ state }) => state),
        ['trimmed', 'trimmed'],
      )
      assert.equal((await keysOf(objects)).length, 4)
      assert.deepEqual(await store.archive.verify(), { segments: 2, events: 10, damaged: [], unknown: [] })
    },

    'Of two that archive at the same time one does the work': async (open) => {
      const archive = { objects: await objectsOf(), retention: { guest: { keepDays: 0 } } }
      const [here, there] = [await open({ archive }), await open({ archive })]
      await visited(here)
      const before = await readings(here)
      const moved = (await Promise.all([here, there].map((store) => store.archive.run()))).flat()
      assert.deepEqual(moved.map(({ events }) => events).sort(), [0, 12])
      assert.deepEqual(await readings(there), before)
      assert.deepEqual(await here.archive.verify(), { segments: 1, events: 12, damaged: [], unknown: [] })
    },

    'A run that fails anywhere loses nothing, and the next one finishes it': async (open) => {
      for (const failing of range(1, 5)) {
        const objects = await objectsOf()
        const retention = { guest: { keepDays: 0 } }
        let calls = 0
        const broken = changed(objects, async (_, run, bytes) => {
          if (++calls === failing) throw new Error('the network is gone')
          return run(bytes)
        })
        const name = `case-${crypto.randomUUID()}`
        const first = await open({ name, archive: { objects: broken, retention } })
        await visited(first)
        const before = await readings(first)
        await first.archive.run().then(
          () => assert.ok(calls < failing, 'the failure was not told'),
          (error) => assert.equal(error.code, 'storage-failed'),
        )
        const second = await open({ name, archive: { objects, retention } })
        assert.deepEqual(await readings(second), before)
        await second.archive.run()
        assert.deepEqual(await readings(second), before)
        assert.deepEqual(await second.archive.verify(), { segments: 1, events: 12, damaged: [], unknown: [] })
        assert.equal((await second.archive.plan())[0]?.events, 0)
      }
    },

    'A segment that does not come back as it was written empties nothing': async (open) => {
      for (const spoil of Object.values(spoilt)) {
        const objects = await objectsOf()
        const bad = changed(objects, (key, run, bytes) => run(key.endsWith('.gz') ? bytes && spoil(bytes) : bytes))
        const retention = { guest: { keepDays: 0 } }
        const name = `case-${crypto.randomUUID()}`
        const store = await open({ name, archive: { objects: bad, retention } })
        await visited(store)
        await assert.rejects(store.archive.run(), (error: Error & { code: string; key: string; place: string }) => {
          assert.deepEqual([error.code, error.place], ['object-damaged', objects.name])
          return /^segments\/guest\/.*\.ndjson\.gz$/.test(error.key)
        })
        const without = await open({ name })
        assert.equal((await collect(without.read('guest/1'))).length, 4)
        const mended = await open({ name, archive: { objects, retention } })
        assert.equal((await mended.archive.run())[0]?.events, 12)
        assert.deepEqual((await mended.archive.verify()).damaged, [])
      }
    },

    'A segment that was damaged, cut short, exchanged or lost since is told with its name, and verification finds it':
      async (open) => {
        const objects = await objectsOf()
        const store = await open({
          archive: { objects, retention: { guest: { keepDays: 0 }, hotel: { keepDays: 0 } } },
        })
        await visited(store)
        await store.archive.run()
        const keys = await keysOf(objects)
        const key = keys.find((key) => /guest.*gz$/.test(key)) ?? assert.fail('there is no segment')
        const foreign = (await objects.get(keys.find((key) => /hotel.*gz$/.test(key)) ?? ''))?.bytes
        const good = (await objects.get(key))?.bytes ?? assert.fail('there is no segment')
        for (const spoil of [...Object.values(spoilt), () => foreign, () => undefined] as const) {
          const bytes = spoil(good)
          if (bytes) await objects.put(key, bytes)
          else await objects.delete(key)
          const fresh = await open({ archive: { objects } })
          const told = { code: 'object-damaged', key, place: objects.name }
          await assert.rejects(collect(fresh.read('guest/1')), told)
          await assert.rejects(collect(fresh.readLog()), told)
          assert.equal((await collect(fresh.read('hotel/1'))).length, 3)
          assert.deepEqual(
            (await fresh.archive.verify()).damaged.map(({ key }) => key),
            [key],
          )
          await objects.put(key, good)
          assert.equal((await collect(fresh.read('guest/1'))).length, 4)
        }
        const manifest = key.replace('.ndjson.gz', '.json')
        await objects.put(manifest, new TextEncoder().encode('{"format":1}'))
        await objects.put('segments/guest/of-nobody.json', Uint8Array.of(1))
        const { damaged, unknown } = await store.archive.verify()
        assert.deepEqual(
          damaged.map(({ key }) => key),
          [manifest],
        )
        assert.deepEqual(unknown, ['segments/guest/of-nobody.json'])
      },

    'A stream that is forgotten while it is being archived is in no segment': async (open) => {
      const objects = await objectsOf()
      let forgotten = false
      const archive: ArchiveOptions = {
        retention: { guest: { keepDays: 0 } },
        objects: changed(objects, async (key, run, bytes) => {
          const answer = await run(bytes)
          if (!forgotten && bytes && key.endsWith('.gz')) {
            forgotten = true
            await store.forget('guest/2', { reasonCode: 'asked' })
          }
          return answer
        }),
      }
      const store = await open({ archive })
      await visited(store)
      assert.equal((await store.archive.run())[0]?.events, 8)
      assert.ok(forgotten)
      for (const key of (await keysOf(objects)).filter((key) => key.endsWith('.gz'))) {
        const text = await gunzip((await objects.get(key))?.bytes ?? new Uint8Array(), 1_000_000)
        assert.doesNotMatch(text, /guest\/2/)
        assert.match(text, /guest\/1/)
      }
      assert.deepEqual(await store.archive.verify(), { segments: 1, events: 8, damaged: [], unknown: [] })
    },

    'A worker archives on a schedule': async (open) => {
      let now = start
      const archive = { objects: await objectsOf(), retention: { guest: { keepDays: 1 } } }
      const store = await open({ clock: () => now, archive })
      await visited(store)
      await store.jobs.schedule('archive', { cron: '0 3 * * *', kind: '$archive' })
      now += 2 * day
      const worker = store.jobs.work({})
      let done: readonly unknown[] = []
      await until(async () => {
        done = (await store.jobs.list({ kind: '$archive', state: 'done' })).jobs.map(({ result }) => result)
        return done.length > 0
      })
      await worker.stop()
      assert.deepEqual(done, [[{ streamType: 'guest', events: 12, segments: 1 }]])
      assert.equal((await collect(store.read('guest/1'))).length, 4)
    },

    'What cannot be a policy, or has none, is refused; without an archive there is none': async (open) => {
      const objects = await objectsOf()
      const refused = { code: 'invalid-argument' }
      for (const policy of [{}, { keepDays: -1 }, { keepEvents: 1.5 }, { sinceSnapshot: { name: '', version: 1 } }]) {
        await assert.rejects(open({ archive: { objects, retention: { guest: policy } } }), refused)
      }
      const store = await open({ archive: { objects, retention: { guest: { keepEvents: 1 } } } })
      await assert.rejects(store.archive.run({ streamTypes: ['hotel'] }), refused)
      await assert.rejects((await open()).archive.run(), { code: 'unsupported' })
    },
  })
}

/** Three guests with four events each, one after the other in the log, and a hotel. */
async function visited(store: Store): Promise<void> {
  for (const place of range(1, 4)) {
    for (const guest of range(1, 3)) {
      const event = { type: 'Visited', tags: ['ann', `guest:${guest}`], data: { place: `p${place}` } }
      await store.append(`guest/${guest}`, [event])
    }
  }
  await fill(store, ['hotel/1'], 3)
  for (const stream of ['guest/1', 'guest/2', 'guest/3', 'hotel/1']) await positionOf(store, stream)
}

/** All that a reader can see, in every way there is. */
async function readings(store: EmbeddedStore): Promise<readonly unknown[]> {
  const subscribed: unknown[] = []
  const ended = new AbortController()
  const feed = store.subscribe({ streamTypes: ['guest'], signal: ended.signal, onCaughtUp: () => ended.abort() })
  for await (const entry of feed) subscribed.push(entry)
  return [
    await collect(store.read('guest/1')),
    await collect(store.read('guest/2', { direction: 'backwards', limit: 2 })),
    await store.readPage('guest/3', { after: 1, limit: 2 }),
    sorted(await collect(store.readLog())),
    sorted(await collect(store.readLog({ types: ['Visited'], tags: ['guest:2'] }))),
    sorted((await store.readBoundary([{ tags: ['ann'] }])).events),
    sorted(subscribed as readonly Recorded[]),
    await store.load('guest/1', counter),
    await store.load('guest/1', counter, { at: 2 }),
  ]
}

function sorted(entries: readonly { readonly position?: number }[]) {
  return entries.toSorted((a, b) => (a.position ?? 0) - (b.position ?? 0))
}

async function keysOf(objects: ObjectStore): Promise<readonly string[]> {
  return (await collect(listObjects(objects, ''))).map(({ key }) => key)
}

const spoilt: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  flipped: (bytes) => bytes.map((byte, index) => (index === bytes.length >> 1 ? byte ^ 1 : byte)),
  'cut short': (bytes) => bytes.slice(0, -9),
  empty: () => new Uint8Array(),
}

/** The object store with something between: gets the key, what would be done, and what would be put. */
function changed(
  objects: ObjectStore,
  between: <Answer>(
    key: string,
    run: (bytes: Uint8Array | undefined) => Promise<Answer>,
    bytes: Uint8Array | undefined,
  ) => Promise<Answer>,
): ObjectStore {
  return {
    ...objects,
    get: (key) => between(key, () => objects.get(key), undefined),
    put: (key, bytes, condition) =>
      between(key, (given) => objects.put(key, given ?? new Uint8Array(), condition), bytes),
  }
}
