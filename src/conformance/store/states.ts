/** State snapshots: views that were lost come back, and catch up from the position up to which they were written down. */
import assert from 'node:assert/strict'
import { gunzip } from '../../core/gzip.ts'
import { listObjects, type ObjectStore } from '../../core/object-store.ts'
import { projection } from '../../core/projection.ts'
import type { EmbeddedStore, Store } from '../../core/store.ts'
import { cases, type OpenObjects, range } from '../kit.ts'
import type { OpenEmbedded } from './archiving.ts'
import { collect, positionOf } from './kit.ts'

type Visited = { type: 'Visited'; data: { place: string } }
type Visits = { places: string[] }

/** `seen`: what the handlers were called for. */
function definitions(seen: string[] = []) {
  const on = {
    Visited: (view: Visits | undefined, { data }: { readonly data: Visited['data'] }): Visits => {
      seen.push(data.place)
      return { places: [...(view?.places ?? []), data.place] }
    },
  }
  const visits = (name: string, lifecycle: 'inline' | 'async') =>
    projection<Visited, Visits>()({ name, lifecycle, streamTypes: ['guest'], on })
  const byPlace = projection<Visited, Visits>()({
    ...{ name: 'by-place', lifecycle: 'async', key: ({ data }) => data.place, on },
    indexes: [{ name: 'all', equals: [] }],
  })
  const count = projection<Visited, { count: number }>()({
    ...{ name: 'count', lifecycle: 'async', key: () => 'all', holds: 'totals' },
    on: { Visited: (view = { count: 0 }) => ({ count: view.count + 1 }) },
  })
  return [visits('inline', 'inline'), visits('async', 'async'), byPlace, count] as const
}

export const writingDown = (open: OpenEmbedded, openObjects: OpenObjects) =>
  cases(open, {
    'Views that were lost come back from a state snapshot, and fold only what has come since': async (open) => {
      const states = await openObjects({ name: `states-${crypto.randomUUID()}` })
      const seen: string[] = []
      const projections = definitions(seen)
      const store = await open({ states, projections })
      await visit(store, ['1', '2', '3'], ['p1', 'p2'])
      for (const { name } of projections.slice(1)) await store.projections.rebuild(name)
      const taken = await store.states.take()
      assert.deepEqual(
        taken.projections.map(({ name, views, position }) => [name, views, position]),
        [
          ['async', 3, 6],
          ['by-place', 2, 6],
          ['count', 1, 6],
          ['inline', 3, 6],
        ],
      )
      await visit(store, ['1', '4'], ['p3'])
      assert.ok(await holds(states, 'guest/3'))
      await store.forget('guest/3', { reasonCode: 'asked' })
      await positionOf(store, 'guest/3')
      assert.ok(!(await holds(states, '"guest/3":')))
      seen.length = 0
      const told = new Set<string>()
      const restored = await store.states.restore({ onProgress: ({ phase }) => told.add(phase) })
      assert.deepEqual(
        restored.projections.map(({ name, position }) => [name, position]),
        taken.projections.map(({ name }) => [name, 6]),
      )
      assert.deepEqual([...told], ['restoring', 'catching up'])
      // Of each view only what came later, but for what shared a view with the stream that was forgotten.
      assert.ok(!seen.slice(0, 2).includes('p1'))
      const views = await viewsOf(store)
      assert.deepEqual(views.inline, [['p1', 'p2', 'p3'], ['p1', 'p2'], undefined, ['p3']])
      assert.deepEqual(views.async, views.inline)
      assert.deepEqual(views.places, [2, 2, 2])
      assert.equal(views.count, 8)
      await visit(store, ['2'], ['p4'])
      assert.deepEqual((await viewsOf(store)).inline[1], ['p1', 'p2', 'p4'])
    },

    'What is written while a state snapshot is taken is in the views that come back': async (open) => {
      const states = await openObjects({ name: `states-${crypto.randomUUID()}` })
      const projections = definitions()
      const store = await open({ states, projections })
      const guests = range(1, 8).map(String)
      await visit(store, guests, ['p0'])
      for (const { name } of projections.slice(1)) await store.projections.rebuild(name)
      const running = store.projections.start()
      const writing = visit(store, guests, ['p1', 'p2'])
      await store.states.take()
      await writing
      await store.states.restore()
      for (const guest of guests) {
        const after = { stream: `guest/${guest}`, revision: 3 }
        for (const name of ['inline', 'async']) {
          const view = await store.views.get<Visits>(name, guest, { after })
          assert.deepEqual(view?.places, ['p0', 'p1', 'p2'])
        }
      }
      await running.stop()
    },

    'A state snapshot that is damaged, of another log or of another version changes nothing': async (open) => {
      const states = await openObjects({ name: `states-${crypto.randomUUID()}` })
      const [inline] = definitions()
      const store = await open({ states, projections: [inline] })
      await visit(store, ['1'], ['p1'])
      await store.states.take()
      const unchanged = async (code: string) => {
        await assert.rejects(store.states.restore(), { code })
        assert.deepEqual((await store.views.get(inline, '1'))?.places, ['p1'])
        assert.equal((await store.projections.status('inline')).state, 'active')
      }
      for (const { key } of await collect(listObjects(states, 'states/'))) {
        const good = (await states.get(key))?.bytes ?? assert.fail('it is not there')
        for (const bytes of [good.slice(0, -5), good.map((byte, at) => (at === good.length >> 1 ? byte ^ 1 : byte))]) {
          await states.put(key, bytes)
          await unchanged('object-damaged')
        }
        await states.put(key, good)
      }
      await withoutChunk(states, () => unchanged('object-damaged'))
      const next = { ...inline, version: 2 }
      const other = await open({ states, projections: [next] })
      await assert.rejects(other.states.restore(), /has version 1 of "inline", the store was opened with version 2/)
      const elsewhere = await open({ name: `other-${crypto.randomUUID()}`, states, projections: [inline] })
      const object = `"states/00000001.json" in ${states.name}`
      await assert.rejects(elsewhere.states.restore(), { code: 'position-beyond-head', object })
      await visit(elsewhere, ['7'], ['p7'])
      await assert.rejects(elsewhere.states.restore(), { code: 'log-diverged', object })
      assert.deepEqual((await elsewhere.views.get(inline, '7'))?.places, ['p7'])
    },

    'A schedule takes state snapshots, and keeps as many as it says': async (open) => {
      const states = await openObjects({ name: `states-${crypto.randomUUID()}` })
      const store = await open({ states, projections: definitions().slice(0, 1) })
      await visit(store, ['1'], ['p1'])
      const worker = store.jobs.work({})
      for (const key of ['a', 'b', 'c']) {
        await store.jobs.add('$states', { key, input: { keep: 2 } })
        while ((await store.jobs.get(`$states/${key}`))?.state !== 'done') await new Promise((go) => setTimeout(go, 5))
      }
      await worker.stop()
      assert.deepEqual(
        (await store.states.list()).map(({ number }) => number),
        [2, 3],
      )
      assert.equal((await collect(listObjects(states, ''))).length, 4)
    },
  })

async function visit(store: Store, guests: readonly string[], places: readonly string[]): Promise<void> {
  for (const place of places) {
    for (const guest of guests) await store.append(`guest/${guest}`, [{ type: 'Visited', data: { place } }])
  }
  for (const guest of guests) await positionOf(store, `guest/${guest}`)
}

async function viewsOf(store: EmbeddedStore) {
  const get = (name: string, id: string) => store.views.get<Visits>(name, id)
  const each = async (name: string) =>
    Promise.all(['1', '2', '3', '4'].map(async (id) => (await get(name, id))?.places))
  const places = await Promise.all(['p1', 'p2', 'p3'].map(async (id) => (await get('by-place', id))?.places.length))
  const count = (await store.views.get<{ count: number }>('count', 'all'))?.count
  return { inline: await each('inline'), async: await each('async'), places, count }
}

/** Whether the text is in one of the objects. */
async function holds(states: ObjectStore, text: string): Promise<boolean> {
  for (const { key } of await collect(listObjects(states, ''))) {
    const bytes = (await states.get(key))?.bytes ?? assert.fail('it is not there')
    if (key.endsWith('.gz') && (await gunzip(bytes, 1_000_000)).includes(text)) return true
  }
  return false
}

async function withoutChunk(states: ObjectStore, run: () => Promise<void>): Promise<void> {
  const chunk = (await collect(listObjects(states, 'states/'))).find(({ key }) => key.endsWith('.gz'))
  const key = chunk?.key ?? assert.fail('there is none')
  const bytes = (await states.get(key))?.bytes ?? assert.fail('it is not there')
  await states.delete(key)
  await run()
  await states.put(key, bytes)
}
