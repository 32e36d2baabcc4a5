import { beforeEach, describe, expect, test } from 'vitest'
import { until } from '../conformance/store/kit.ts'
import type { LogEntry } from './event.ts'
import { memoryObjects } from './fixtures/memory-objects.ts'
import { fill, gdpr, newShop, type OrderEvent, placed } from './fixtures/shop.ts'
import { gunzip } from './gzip.ts'
import { listObjects, type ObjectStore } from './object-store.ts'
import { projection } from './projection.ts'
import type { Storage } from './storage.ts'
import type { EmbeddedStore } from './store.ts'

const on = {
  OrderPlaced: (_: unknown, { data }: { data: { customer: { name: string } } }) => ({ name: data.customer.name }),
}
const orders = projection<OrderEvent, { name: string }>()({
  ...{ name: 'orders', lifecycle: 'inline', streamTypes: ['order'], on },
})
const byName = projection<OrderEvent, { name: string }>()({
  ...{ name: 'by-name', lifecycle: 'inline', key: ({ stream }) => `all ${stream.slice(0, 5)}`, on },
})
const later = projection<OrderEvent, { name: string }>()({
  ...{ name: 'later', lifecycle: 'async', streamTypes: ['order'], search: ['name'], on },
})
const names = projection<OrderEvent, { names: readonly string[] }>()({
  ...{ name: 'names', lifecycle: 'async', key: () => 'all' },
  on: { OrderPlaced: (view, { data }) => ({ names: [...(view?.names ?? []), data.customer.name] }) },
})

let shop: ReturnType<typeof newShop>
beforeEach(() => {
  shop = newShop()
})
const bare = () => shop.bare()
const open: ReturnType<typeof newShop>['open'] = (...all) => shop.open(...all)

describe('a stream in which a subject was forgotten', () => {
  test('folds inline views anew that held it, and drops snapshots', async () => {
    const decider = {
      initialState: () => '',
      evolve: (_: string, { data }: OrderEvent) => data.customer.name,
      snapshot: { name: 'names', version: 1 },
    }
    await using store = await open({ projections: [orders, byName], deciders: [decider] })
    await store.append('order/1', [placed('42', 'Ann')])
    await store.append('order/2', [placed('43', 'Bo')])
    await store.append('order/1', [placed('42', 'Ann')])
    await store.snapshots.take(decider, 'order/1')
    expect(await store.views.get('orders', '1')).toMatchObject({ name: 'Ann' })
    await store.append('customer/42', [{ type: 'Moved', data: 1 }])
    await store.forget({ subject: 'customer/42', ...gdpr })
    expect(await store.views.get('orders', '1')).toMatchObject({ name: '(forgotten)' })
    expect(await store.views.get('by-name', 'all order')).toMatchObject({ name: '(forgotten)' })
    expect(await store.load('order/1', decider)).toMatchObject({ state: '(forgotten)' })
  })

  /** Until all that was recorded is in the views. */
  const caughtUp = async (store: EmbeddedStore, name: string) => {
    await until(async () => (await store.projections.status(name)).lag === 0)
  }

  test('makes the views behind the log anew that held it, words and what was replayed included', async () => {
    await using store = await open({ projections: [later, names] })
    await fill(store)
    const runner = store.projections.start()
    for (const name of ['later', 'names']) await caughtUp(store, name)
    await store.projections.replay(later, { as: 'before' })
    expect((await store.views.search(later, { text: 'Ann' })).views.length).toBe(1)
    const report = await store.forget({ subject: 'customer/42', ...gdpr })
    expect(report).toMatchObject({ masked: 1, rebuild: [], kinds: { views: 1 }, documents: 1 })
    expect(await store.views.get(later, '1')).toEqual({ name: '(forgotten)' })
    expect(await store.views.get(names, 'all')).toEqual({ names: ['(forgotten)', 'Bo'] })
    expect((await store.views.search(later, { text: 'Ann' })).views).toEqual([])
    expect((await store.views.search(later, { text: 'Bo' })).views.length).toBe(1)
    expect(await store.views.get('later~before', '1')).toBeUndefined()
    expect(await store.views.get('later~before', '2')).toEqual({ name: 'Bo' })
    await store.append('order/2', [placed('43', 'Cy')])
    await until(async () => (await store.views.get(names, 'all'))?.names.at(-1) === 'Cy')
    await runner.stop()
  })

  test('reaches state snapshots; one that was copied before brings nothing back', async () => {
    const [states, copy] = [memoryObjects('states'), memoryObjects('copy')]
    await using store = await open({ projections: [later, orders, names], states })
    await fill(store)
    for (const name of ['later', 'names']) await store.projections.rebuild(name)
    await store.states.take()
    for await (const { key } of listObjects(states, '')) {
      await copy.put(key, (await states.get(key))?.bytes ?? new Uint8Array())
    }
    const held = async (objects: ObjectStore) => {
      const texts: string[] = []
      for await (const { key } of listObjects(objects, '')) {
        const bytes = (await objects.get(key))?.bytes ?? new Uint8Array()
        texts.push(key.endsWith('.gz') ? await gunzip(bytes, 1_000_000) : new TextDecoder().decode(bytes))
      }
      return texts.join().includes('Ann')
    }
    expect([await held(states), await held(copy)]).toEqual([true, true])
    await store.forget({ subject: 'customer/42', ...gdpr })
    expect([await held(states), await held(copy)]).toEqual([false, true])
    await using restored = await open({ projections: [later, orders, names], states: copy })
    await restored.states.restore({ projections: ['names'] })
    expect(await restored.views.get(names, 'all')).toEqual({ names: ['(forgotten)', 'Bo'] })
  })

  test('what is forgotten while a state snapshot is taken is not in it, nor comes out of it', async () => {
    const states = memoryObjects('states')
    await using store = await open({ projections: [later] })
    await fill(store)
    await store.projections.rebuild('later')
    let report: unknown
    await using taking = await open({
      projections: [later],
      states: {
        ...states,
        async put(key, ...more) {
          if (key.endsWith('.gz') && report === undefined) {
            report = {}
            report = await store.forget({ subject: 'customer/42', ...gdpr })
          }
          return states.put(key, ...more)
        },
      },
    })
    await taking.states.take()
    expect(report).toMatchObject({ masked: 1 })
    await taking.states.restore()
    expect(await taking.views.get(later, '1')).toEqual({ name: '(forgotten)' })
    for await (const { key } of listObjects(states, '')) {
      if (!key.endsWith('.gz')) continue
      expect(await gunzip((await states.get(key))?.bytes ?? new Uint8Array(), 1_000_000)).not.toContain('Ann')
    }
  })

  test('leaves no snapshot that was being taken meanwhile', async () => {
    const decider = {
      initialState: () => '',
      evolve: (_: string, { data }: OrderEvent) => data.customer.name,
      snapshot: { name: 'names', version: 1 },
    }
    await using store = await open()
    await fill(store)
    const storage = bare()
    let forgotten = false
    const late: Storage = {
      ...storage,
      async commit(commits) {
        const takes = commits.some(({ documents }) => documents?.some(({ key }) => key.collection === '$snapshots'))
        if (takes && !forgotten) {
          forgotten = true
          await store.forget({ subject: 'customer/42', ...gdpr })
        }
        return storage.commit(commits)
      },
    }
    await using taking = await open({ deciders: [decider] }, late)
    await taking.snapshots.take(decider, 'order/1')
    expect(forgotten).toBe(true)
    expect(await taking.load('order/1', decider)).toMatchObject({ state: '(forgotten)' })
  })

  test('leaves views to whoever defines them, and goes on there', async () => {
    {
      await using store = await open({ projections: [later, orders] })
      await fill(store)
      const runner = store.projections.start()
      await caughtUp(store, 'later')
      await runner.stop()
    }
    {
      await using store = await open()
      const report = await store.forget({ subject: 'customer/42', ...gdpr })
      expect(report).toMatchObject({ masked: 1, rebuild: ['later@1', 'orders@1'] })
      expect((await store.jobs.get('$forget-subject/customer/42'))?.state).toBe('waiting')
    }
    {
      // Who can do nothing about it either does nothing.
      const storage = bare()
      const steps: string[] = []
      const watched: Storage = {
        ...storage,
        erase(step) {
          steps.push(step.erase)
          return storage.erase(step)
        },
      }
      await using store = await open({}, watched)
      expect(await store.forget({ subject: 'customer/42', ...gdpr })).toMatchObject({
        rebuild: ['later@1', 'orders@1'],
      })
      expect(steps).toEqual([])
    }
    // Who defines a part of it does that part.
    const before = await open({ projections: [later] })
    expect(await before.views.get(later, '1')).toEqual({ name: '(forgotten)' })
    expect((await before.jobs.get('$forget-subject/customer/42'))?.state).toBe('waiting')
    await before.close()
    await using store = await open({ projections: [later, orders] })
    for (const view of [later, orders]) expect(await store.views.get(view, '1')).toEqual({ name: '(forgotten)' })
    expect((await store.jobs.get('$forget-subject/customer/42'))?.state).toBe('done')
    expect((await store.forget({ subject: 'customer/42', ...gdpr })).rebuild).toEqual([])
  })

  test('empties views whose handlers or keys cannot take the mask, and tells of them', async () => {
    const initial = (name: string) => {
      if (name.startsWith('(')) throw new Error('is no name')
      return name.slice(0, 1)
    }
    const inline = projection<OrderEvent, { initial: string }>()({
      ...{ name: 'initials', lifecycle: 'inline', streamTypes: ['order'] },
      on: { OrderPlaced: (_, { data }) => ({ initial: initial(data.customer.name) }) },
    })
    const keyed = projection<OrderEvent, { id: string }>()({
      ...{ name: 'by-initial', lifecycle: 'async', key: ({ data }) => initial(data.customer.name) },
      on: { OrderPlaced: (_, { data }) => ({ id: data.customer.id }) },
    })
    await using store = await open({ projections: [inline, keyed] })
    await fill(store)
    const runner = store.projections.start()
    await caughtUp(store, 'by-initial')
    await runner.stop()
    const report = await store.forget({ subject: 'customer/42', ...gdpr })
    expect(report.rebuild).toEqual(['by-initial@1', 'initials@1'])
    expect([await store.views.get(inline, '1'), await store.views.get(keyed, 'A')]).toEqual([undefined, undefined])
    expect([await store.views.get(inline, '2'), await store.views.get(keyed, 'B')]).toEqual([
      { initial: 'B' },
      { id: '43' },
    ])
    await store.append('order/1', [placed('43', 'Bo')])
    expect(await store.views.get(inline, '1')).toEqual({ initial: 'B' })
  })

  test('takes jobs along that name a stream in which it is masked, and what was thrown at its events', async () => {
    await using store = await open()
    await fill(store)
    for (const order of [1, 2]) await store.jobs.add('mail', { key: `${order}`, streams: [`order/${order}`] })
    const thrower = async ({ stream, ...event }: LogEntry) => {
      if (stream === 'order/1' && 'data' in event) throw new Error(JSON.stringify(event.data))
    }
    const consumer = await store.consumers.run({
      ...{ name: 'mailer', streamTypes: ['order'], tries: 1, handler: thrower },
    })
    await until(async () => (await store.consumers.status('mailer')).parked === 1)
    await consumer.stop()
    const message = async () => (await store.consumers.parked('mailer')).parked.map(({ error }) => error.message)
    expect((await message()).join()).toContain('Ann')
    expect(await store.forget({ subject: 'customer/42', ...gdpr })).toMatchObject({ kinds: { jobs: 1 }, documents: 1 })
    expect([await store.jobs.get('mail/1'), (await store.jobs.get('mail/2'))?.state]).toEqual([undefined, 'waiting'])
    expect(await message()).toEqual(['erased, for a subject of the stream was forgotten'])
    // What is added later holds nothing of it, however often the forgetting is gone on with.
    await store.jobs.add('mail', { key: 'later', streams: ['order/1'] })
    await using reaching = await open({ backups: [memoryObjects('backups')] })
    expect(await reaching.forget({ subject: 'customer/42', ...gdpr })).toMatchObject({ kinds: { jobs: 1 } })
    expect((await store.jobs.get('mail/later'))?.state).toBe('waiting')
  })
})
