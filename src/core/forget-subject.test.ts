import { beforeEach, describe, expect, test } from 'vitest'
import { until } from '../conformance/store/kit.ts'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import type { EventOf, LogEntry } from './event.ts'
import { memoryObjects } from './fixtures/memory-objects.ts'
import { gunzip } from './gzip.ts'
import { masterKeyOf } from './master-key.ts'
import { listObjects, type ObjectStore } from './object-store.ts'
import { projection } from './projection.ts'
import type { Storage } from './storage.ts'
import { type EmbeddedStore, openStore } from './store.ts'
import type { StoreOptions } from './store-options.ts'
import type { Subjects } from './subject.ts'

const masterKey = masterKeyOf([new Uint8Array(32).fill(7)])
const subjects: Subjects = {
  streams: { customer: {}, letter: { subject: 'customer/{id}' } },
  events: {
    OrderPlaced: { subject: 'customer/{/customer/id}', fields: ['/customer/name'], mask: '(forgotten)' },
    CaseOpened: { subject: 'customer/{/customer}', fields: ['/text'], own: true },
  },
}
type OrderEvent = EventOf<{ OrderPlaced: { customer: { id: string; name: string }; total: number } }>
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

let log: ReturnType<typeof memoryLog>
beforeEach(() => {
  log = memoryLog()
})
const bare = () => memoryStorage({ log })
const open = (options: StoreOptions = {}, storage: Storage = bare()) =>
  openStore(storage, { subjects, encryption: { masterKey }, ...options })
const placed = (id: string, name: string) => ({ type: 'OrderPlaced', data: { customer: { id, name }, total: 1 } })
const gdpr = { reasonCode: 'gdpr-art-17' }

async function fill(store: Awaited<ReturnType<typeof open>>): Promise<void> {
  await store.append('customer/42', [{ id: 'moved', type: 'Moved', data: { city: 'Bonn' } }])
  await store.append('letter/42', [{ type: 'Sent', data: 'Dear Ann' }])
  await store.append('case/7', [{ type: 'CaseOpened', data: { customer: 42, text: 'late' } }])
  await store.append('order/1', [{ ...placed('42', 'Ann'), id: 'placed' }])
  await store.append('order/2', [placed('43', 'Bo')])
}

describe('forgetting a subject', () => {
  test('forgets its own streams, and masks it in those of others', async () => {
    await using store = await open()
    await fill(store)
    const report = await store.forget({ subject: 'customer/42', ...gdpr })
    const counts = { streams: 3, events: 3, masked: 1 }
    const told = { ...counts, key: 'destroyed', documents: 0, kinds: {}, rebuild: [], scrub: 'done', remains: [] }
    expect(report).toMatchObject({ subject: 'customer/42', ...told })
    for (const stream of ['customer/42', 'letter/42', 'case/7']) {
      expect((await store.details(stream))?.forgotten).toBe(true)
    }
    const masked = { customer: { id: '42', name: '(forgotten)' }, total: 1 }
    expect((await store.readPage('order/1')).events[0]?.data).toEqual(masked)
    expect((await store.readPage('order/2')).events[0]?.data).toEqual(placed('43', 'Bo').data)
    expect(await store.forget({ subject: 'customer/42', ...gdpr })).toEqual(report)
    expect((await store.ledger.verify()).fault).toBeUndefined()
    // It may have had no stream of its own: that it was forgotten is told beside, once, without its name.
    const trail = (await store.readPage('$audit/erasures')).events
    expect(trail).toMatchObject([{ type: '$subject-forgotten', data: { ...gdpr, key: 'destroyed' } }])
    expect(JSON.stringify(trail)).not.toContain('customer/42')
  })

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
  })

  test('refuses what concerns it from then on, in every process; repeats are answered by their ids', async () => {
    await using one = await open()
    await using other = await open()
    await fill(one)
    await other.append('order/3', [placed('42', 'Ann')])
    await one.forget({ subject: 'customer/42', ...gdpr })
    const late = other.append('order/4', [placed('42', 'Ann')])
    await expect(late).rejects.toMatchObject({ code: 'subject-forgotten', subject: 'customer/42' })
    await expect(other.append('customer/42', [{ type: 'Moved' }])).rejects.toMatchObject({ code: 'stream-forgotten' })
    expect(await other.append('order/1', [{ ...placed('42', 'Ann'), id: 'placed' }])).toMatchObject({
      repeated: true,
      revision: 1,
    })
    expect(await one.append('order/5', [placed('43', 'Bo')])).toMatchObject({ revision: 1 })
  })

  test('is read by no process from then on, whatever that has read before', async () => {
    await using one = await open()
    await using other = await open()
    await fill(one)
    const nameRead = async () => (await other.readPage('order/1')).events[0]?.data
    expect(await nameRead()).toEqual(placed('42', 'Ann').data)
    await one.forget({ subject: 'customer/42', ...gdpr })
    expect(await nameRead()).toMatchObject({ customer: { name: '(forgotten)' } })
    expect((await other.readPage('order/2')).events[0]?.data).toEqual(placed('43', 'Bo').data)
  })

  test('without encryption only what is its own can be forgotten', async () => {
    await using store = await openStore(bare(), { subjects })
    await fill(store)
    const refused = store.forget({ subject: 'customer/42', ...gdpr })
    await expect(refused).rejects.toMatchObject({ code: 'subject-exposed', streams: ['order/1'] })
    expect((await store.details('customer/42'))?.forgotten).toBe(false)
    await store.forget('order/1', gdpr)
    const report = await store.forget({ subject: 'customer/42', ...gdpr })
    expect(report).toMatchObject({ key: 'none', streams: 3, masked: 0 })
    await expect(store.append('letter/43', [{ type: 'Sent', data: 'Dear Bo' }])).resolves.toBeDefined()
    await expect(store.append('order/8', [placed('42', 'Ann')])).rejects.toMatchObject({ code: 'subject-forgotten' })
  })

  test('what was recorded as plain text before encryption is told', async () => {
    {
      await using store = await openStore(bare(), { subjects })
      await fill(store)
    }
    await using store = await open()
    await store.append('order/1', [placed('42', 'Ann')])
    await expect(store.forget({ subject: 'customer/42', ...gdpr })).rejects.toMatchObject({ code: 'subject-exposed' })
    expect((await store.readPage('order/1')).events.map(({ data }) => data)).toEqual(
      Array(2).fill(placed('42', 'Ann').data),
    )
  })

  test('goes on where a crash ended it, at every step', async () => {
    for (let crash = 1; ; crash++) {
      log = memoryLog()
      {
        await using store = await open()
        await fill(store)
      }
      let steps = 0
      const storage = bare()
      const dying: Storage = {
        ...storage,
        commit: (commits) => (++steps >= crash ? Promise.reject(new Error('crash')) : storage.commit(commits)),
        erase: (step) => (++steps >= crash ? Promise.reject(new Error('crash')) : storage.erase(step)),
      }
      const store = await open({}, dying)
      steps = 0
      const crashed = await store.forget({ subject: 'customer/42', ...gdpr }).then(
        () => false,
        () => true,
      )
      await store.close()
      await using next = await open()
      // What was done before the crash is told as what is done after it.
      const report = await next.forget({ subject: 'customer/42', ...gdpr })
      expect([crash, report]).toMatchObject([crash, { key: 'destroyed', streams: 3, events: 3, masked: 1 }])
      for (const stream of ['customer/42', 'letter/42', 'case/7']) {
        expect((await next.details(stream))?.forgotten, `${stream}, crash ${crash}`).toBe(true)
      }
      expect((await next.readPage('order/1')).events[0]?.data).toMatchObject({ customer: { name: '(forgotten)' } })
      if (!crashed) break
      expect(crash).toBeLessThan(60)
    }
  })

  test('what was recorded before it was declared whom it concerns is told, found once it is looked for, and forgotten then', async () => {
    {
      await using store = await openStore(bare(), { encryption: { masterKey } })
      await fill(store)
    }
    {
      // Of orders the wrong field was declared at first.
      const wrong: Subjects = { events: { OrderPlaced: { subject: 'customer/{/customer/id}', fields: ['/total'] } } }
      await using store = await open({ subjects: wrong })
      await store.append('order/3', [placed('44', 'Di')])
    }
    await using store = await open()
    await store.append('order/4', [placed('44', 'Di')])
    const first = await store.forget({ subject: 'customer/42', ...gdpr })
    expect(first).toMatchObject({ key: 'none', streams: 1, masked: 0 })
    expect(first.remains.map(({ ends }) => ends).join()).toContain('find-subjects')
    expect((await store.forget({ subject: 'customer/77', ...gdpr })).remains.length).toBe(1)
    const ending = new AbortController()
    ending.abort()
    await expect(store.encryption.findSubjects({ signal: ending.signal })).rejects.toThrow()
    const { position: _, ...found } = await store.encryption.findSubjects()
    expect(found).toEqual({ own: 2, encrypted: 0, plain: 3, forgotten: ['customer/42'], unclear: 0 })
    expect(await store.encryption.findSubjects()).toMatchObject({ own: 0, encrypted: 0, plain: 0, forgotten: [] })
    await expect(store.forget({ subject: 'customer/44', ...gdpr })).rejects.toMatchObject({ streams: ['order/3'] })
    // It is forgotten already, so that all else is seen to at once.
    const exposed = store.forget({ subject: 'customer/42', ...gdpr })
    await expect(exposed).rejects.toMatchObject({ code: 'subject-exposed', streams: ['order/1'] })
    for (const stream of ['letter/42', 'case/7']) expect((await store.details(stream))?.forgotten).toBe(true)
    await store.forget('order/1', gdpr)
    const report = await store.forget({ subject: 'customer/42', ...gdpr })
    expect(report).toMatchObject({ streams: 3, events: 3, remains: [] })
    expect((await store.jobs.get('$forget-subject/customer/42'))?.state).toBe('done')
  })

  test('what is found of a subject is plain unless it is encrypted for it, and goes on behind what was looked through', async () => {
    const part: Subjects = {
      events: {
        Shared: [
          { subject: 'customer/{/of}', fields: ['/name'] },
          { subject: 'customer/{/by}', fields: ['/note'] },
        ],
      },
    }
    const shared = (whose: number, by: number) => {
      return { type: 'Shared', data: { of: whose, by, name: 'Ann', note: 'x', more: 'y' } }
    }
    {
      await using store = await open({ subjects: part })
      await store.append('deal/1', [shared(1, 2)])
    }
    const more: Subjects = {
      events: {
        Shared: [
          { subject: 'customer/{/of}', fields: ['/name', '/more'] },
          { subject: 'customer/{/by}', fields: ['/note'] },
        ],
      },
    }
    await using store = await open({ subjects: more })
    await store.append('deal/2', [shared(3, 2)])
    // Of customer/2 what is there was encrypted for it before; of customer/1 something was not.
    expect(await store.encryption.findSubjects()).toMatchObject({ position: 2, own: 0, encrypted: 0, plain: 1 })
    expect((await store.forget({ subject: 'customer/2', ...gdpr })).masked).toBe(2)
    await expect(store.forget({ subject: 'customer/1', ...gdpr })).rejects.toMatchObject({ streams: ['deal/1'] })
    await store.append('deal/3', [shared(3, 4)])
    expect(await store.encryption.findSubjects()).toMatchObject({ position: 4, encrypted: 0, plain: 0, unclear: 0 })
  })

  test('nobody knows a subject of which nothing was recorded', async () => {
    await using store = await open()
    await expect(store.forget({ subject: 'customer/1', ...gdpr })).rejects.toMatchObject({ code: 'stream-not-found' })
    await expect(store.forget({ subject: 'nobody', ...gdpr })).rejects.toMatchObject({ code: 'invalid-argument' })
    await fill(store)
    await store.forget({ subject: 'customer/42', ...gdpr })
    // The trail is nobody's.
    const trail = store.forget({ subject: '$audit/erasures', ...gdpr })
    await expect(trail).rejects.toMatchObject({ code: 'invalid-argument' })
    expect((await store.readPage('$audit/erasures')).events.length).toBe(1)
  })
})
