/** Projections that commit with the events: views are what the events make of them, whoever writes and however many at once. */
import assert from 'node:assert/strict'
import type { EventOf } from '../../core/event.ts'
import { projection } from '../../core/projection.ts'
import { cases, range } from '../kit.ts'
import { type OpenStore, until } from './kit.ts'

type CustomerEvent = EventOf<{
  Registered: { name: string; city?: string }
  Moved: { city: string }
  Left: null
  Greeted: null
}>
interface Customer {
  readonly name: string
  readonly city?: string
  readonly revision: number
}
const customers = projection<CustomerEvent, Customer>()({
  name: 'customers',
  lifecycle: 'inline',
  streamTypes: ['customer'],
  on: {
    Registered: (_, { data, revision }) => ({ ...data, revision }),
    Moved(customer, { data, revision, stream }) {
      if (customer === undefined) throw new Error(`${stream} is not registered`)
      return { ...customer, city: data.city, revision }
    },
    Left: () => undefined,
  },
  indexes: [
    { name: 'by-city', equals: ['city'], order: 'name' },
    { name: 'name', equals: ['name'], unique: true },
  ],
})

type OrderEvent = EventOf<{ Registered: { name: string }; Ordered: { amount: number }; Joined: { team: string } }>
interface Buyer {
  readonly name?: string
  readonly orders: number
  readonly spent: number
}
/** Of two stream types with one id. */
const buyers = projection<OrderEvent, Buyer>()({
  name: 'buyers',
  lifecycle: 'inline',
  streamTypes: ['customer', 'cart'],
  on: {
    Registered: (buyer, { data }) => ({ orders: 0, spent: 0, ...buyer, name: data.name }),
    Ordered: (buyer = { orders: 0, spent: 0 }, { data }) => ({
      ...buyer,
      orders: buyer.orders + 1,
      spent: buyer.spent + data.amount,
    }),
  },
})
interface Team {
  readonly members: readonly string[]
}
/** Of any stream, by a function. */
const teams = projection<OrderEvent, Team>()({
  name: 'teams',
  lifecycle: 'inline',
  key: (event) => (event.type === 'Joined' ? event.data.team : undefined),
  on: { Joined: (team, { stream }) => ({ members: [...(team?.members ?? []), stream].sort() }) },
})
const turnover = projection<OrderEvent, { orders: number; spent: number }>()({
  name: 'turnover',
  lifecycle: 'inline',
  holds: 'totals',
  key: () => 'all',
  on: {
    Ordered: (all = { orders: 0, spent: 0 }, { data }) => ({ orders: all.orders + 1, spent: all.spent + data.amount }),
  },
})

export const projecting = (open: OpenStore) =>
  cases(open, {
    'An inline view is there when the append is, and holds what was recorded, with its revision': async (open) => {
      const store = await open({ projections: [customers] })
      assert.equal(await store.views.get(customers, '1'), undefined)
      await store.append('customer/1', [{ type: 'Registered', data: { name: 'Ann', city: undefined } }])
      assert.deepEqual(await store.views.get(customers, '1'), { name: 'Ann', revision: 1 })
      await store.append('customer/1', [{ type: 'Greeted' }, { type: 'Moved', data: { city: 'Bern' } }], {
        expected: 1,
      })
      assert.deepEqual(await store.views.get('customers', '1'), { name: 'Ann', city: 'Bern', revision: 3 })
      await store.append('customer/1', [{ type: 'Left' }])
      assert.equal(await store.views.get(customers, '1'), undefined)
      await store.append('customer/1', [{ type: 'Registered', data: { name: 'Ann' } }])
      assert.deepEqual(await store.views.get(customers, '1'), { name: 'Ann', revision: 5 })
    },

    'A handler that throws refuses the append, and nothing is written': async (open) => {
      const store = await open({ projections: [customers] })
      const moved = { type: 'Moved', data: { city: 'Bern' } }
      const facts = { code: 'projection-failed', projection: 'customers', stream: 'customer/1', revision: 1 }
      await assert.rejects(store.append('customer/1', [moved]), { ...facts, eventType: 'Moved' })
      assert.equal(await store.details('customer/1'), undefined)
      await store.append('customer/1', [{ type: 'Registered', data: { name: 'Ann' } }])
      const together = [1, 2, 3].map((id) => store.append(`customer/${id}`, [moved]))
      assert.deepEqual(
        (await Promise.allSettled(together)).map(({ status }) => status),
        ['fulfilled', 'rejected', 'rejected'],
      )
    },

    'A repeat is answered as one, whatever has become of the view': async (open) => {
      const store = await open({ projections: [customers, turnover] })
      const registered = { type: 'Registered', data: { name: 'Ann' }, id: 'a' }
      const moved = { type: 'Moved', data: { city: 'Bern' }, id: 'b' }
      await store.append('customer/1', [registered])
      await store.append('customer/1', [moved])
      await store.append('customer/1', [{ type: 'Greeted', id: 'g' }], { expected: 2 })
      await store.append('customer/1', [{ type: 'Left' }, { type: 'Registered', data: { name: 'Bea' } }])
      await store.append('cart/1', [{ type: 'Ordered', data: { amount: 5 }, id: 'c' }])
      await store.append('customer/1', [{ type: 'Left' }])
      const before = await store.views.get(customers, '1')
      assert.equal((await store.append('customer/1', [registered])).repeated, true)
      assert.equal((await store.append('customer/1', [{ type: 'Greeted', id: 'g' }], { expected: 2 })).repeated, true)
      assert.equal((await store.append('cart/1', [{ type: 'Ordered', data: { amount: 5 }, id: 'c' }])).repeated, true)
      // The handler would throw now.
      assert.equal((await store.append('customer/1', [moved])).revision, 2)
      assert.deepEqual(await store.views.get(customers, '1'), before)
      assert.deepEqual(await store.views.get(turnover, 'all'), { orders: 1, spent: 5 })
    },

    'Streams of several types make one view, in any order; what is not there yet is left out': async (open) => {
      const store = await open({ projections: [buyers] })
      await store.append('cart/7', [{ type: 'Ordered', data: { amount: 3 } }])
      assert.deepEqual(await store.views.get(buyers, '7'), { orders: 1, spent: 3 })
      await store.append('customer/7', [{ type: 'Registered', data: { name: 'Ann' } }])
      await store.appendMany([
        { stream: 'cart/7', events: [{ type: 'Ordered', data: { amount: 4 } }] },
        { stream: 'customer/8', events: [{ type: 'Registered', data: { name: 'Bob' } }] },
        {
          stream: 'cart/8',
          events: [
            { type: 'Ordered', data: { amount: 1 } },
            { type: 'Ordered', data: { amount: 1 } },
          ],
        },
      ])
      assert.deepEqual(await store.views.get(buyers, '7'), { name: 'Ann', orders: 2, spent: 7 })
      assert.deepEqual(await store.views.get(buyers, '8'), { name: 'Bob', orders: 2, spent: 2 })
    },

    'Of many callers at once every event is in the views, once': async (open) => {
      const projections = [buyers, turnover, teams]
      const stores = [await open({ projections }), await open({ projections })]
      const store = (caller: number) => stores[caller % 2] ?? assert.fail()
      await Promise.all(
        range(1, 32).map(async (caller) => {
          for (const turn of range(1, 3)) {
            const amount = caller * turn
            await store(caller).append(`cart/${caller % 3}`, [{ type: 'Ordered', data: { amount } }])
          }
          await store(caller).append(`customer/${caller % 3}`, [{ type: 'Registered', data: { name: `${caller}` } }])
          await store(caller).append(`member/${caller}`, [{ type: 'Joined', data: { team: `${caller % 2}` } }])
        }),
      )
      const spent = range(1, 32).reduce((sum, caller) => sum + caller * 6, 0)
      assert.deepEqual(await store(0).views.get(turnover, 'all'), { orders: 96, spent })
      for (const id of ['0', '1', '2']) {
        const callers = range(1, 32).filter((caller) => `${caller % 3}` === id)
        const view = await store(1).views.get(buyers, id)
        assert.equal(view?.orders, callers.length * 3)
        assert.equal(
          view?.spent,
          callers.reduce((sum, caller) => sum + caller * 6, 0),
        )
        const { events } = await store(0).readPage(`customer/${id}`, { direction: 'backwards', limit: 1 })
        assert.equal(view?.name, (events[0]?.data as { name: string } | undefined)?.name)
      }
      assert.equal((await store(0).views.get(teams, '1'))?.members.length, 16)
      const at = new Date()
      for (const [view, id] of [[buyers, '0'] as const, [buyers, '1'] as const]) {
        assert.deepEqual(await store(0).views.get(view, id), await store(0).views.get(view, id, { at }))
      }
    },

    'A conflict of the caller stays his, and does not hold up who wrote with him': async (open) => {
      const store = await open({ projections: [buyers] })
      const ordered = [{ type: 'Ordered', data: { amount: 1 } }]
      const told = await Promise.allSettled([
        store.append('cart/1', ordered, { expected: 0 }),
        store.append('cart/1', ordered, { expected: 0 }),
        store.append('cart/1', ordered, { expected: 'exists' }),
        store.append('cart/2', ordered, { expected: 'exists' }),
        store.append('cart/1', ordered),
        store.append('cart/1', ordered, { condition: { query: [{ types: ['Ordered'], tags: ['ann'] }] } }),
      ])
      assert.deepEqual(
        told.map((one) => (one.status === 'fulfilled' ? one.value.revision : one.reason.code)),
        [1, 'revision-conflict', 2, 'revision-conflict', 3, 4],
      )
      assert.deepEqual(await store.views.get(buyers, '1'), { orders: 4, spent: 4 })
    },

    'A unique value is one view’s; another that would take it is refused, until it is given back': async (open) => {
      const store = await open({ projections: [customers] })
      const register = (id: number, name = 'Ann') =>
        store.append(`customer/${id}`, [{ type: 'Registered', data: { name } }])
      const taken = { code: 'value-taken', projection: 'customers', index: 'name' }
      const won = (await Promise.allSettled([1, 2, 3].map((id) => register(id)))).filter(
        ({ status }) => status === 'fulfilled',
      )
      assert.equal(won.length, 1)
      await assert.rejects(register(4), taken)
      const holder = await until1(async () => {
        for (const id of [1, 2, 3]) if (await store.views.get(customers, `${id}`)) return id
        return undefined
      })
      await store.appendMany([
        { stream: `customer/${holder}`, events: [{ type: 'Registered', data: { name: 'Bob' } }] },
        { stream: 'customer/4', events: [{ type: 'Registered', data: { name: 'Ann' } }] },
      ])
      await assert.rejects(register(5), taken)
      const both = [6, 7].map((id) => ({
        stream: `customer/${id}`,
        events: [{ type: 'Registered', data: { name: 'Cid' } }],
      }))
      await assert.rejects(store.appendMany(both), taken)
      await store.append('customer/4', [{ type: 'Left' }])
      await register(5)
      assert.equal((await store.views.get(customers, '5'))?.name, 'Ann')
    },

    'Events are folded as upcasters read them': async (open) => {
      const upcasters = [
        {
          type: 'SignedUp',
          to: 'Registered',
          data: ({ data }: { data: unknown }) => ({ name: (data as { n: string }).n }),
        },
      ]
      const store = await open({ projections: [customers], upcasters })
      await store.append('customer/1', [{ type: 'SignedUp', data: { n: 'Ann' } }])
      assert.deepEqual(await store.views.get(customers, '1'), { name: 'Ann', revision: 1 })
    },

    'What a command decides is in the views when it is answered': async (open) => {
      const store = await open({ projections: [turnover] })
      const order = {
        initialState: () => 0,
        evolve: (orders: number) => orders + 1,
        decide: (amount: number) => [{ type: 'Ordered' as const, data: { amount } }],
      }
      await Promise.all(range(1, 5).map((amount) => store.execute(order, 'cart/1', amount)))
      assert.deepEqual(await store.views.get(turnover, 'all'), { orders: 5, spent: 15 })
    },

    'A forgotten stream is in no view any more; a view of several streams is what the others make of it': async (
      open,
    ) => {
      const projections = [customers, buyers, teams, turnover]
      const store = await open({ projections })
      await store.append('customer/1', [{ type: 'Registered', data: { name: 'Ann', city: 'Bern' } }])
      await store.append('cart/1', [{ type: 'Ordered', data: { amount: 3 } }])
      await store.append('member/1', [{ type: 'Joined', data: { team: 'red' } }])
      await store.append('member/2', [{ type: 'Joined', data: { team: 'red' } }])
      await store.append('member/3', [{ type: 'Joined', data: { team: 'blue' } }])
      for (const stream of ['customer/1', 'member/1', 'member/3']) await store.forget(stream, { reasonCode: 'asked' })
      assert.equal(await store.views.get(customers, '1'), undefined)
      assert.deepEqual(await store.views.get(buyers, '1'), { orders: 1, spent: 3 })
      assert.deepEqual(await store.views.get(teams, 'red'), { members: ['member/2'] })
      assert.equal(await store.views.get(teams, 'blue'), undefined)
      // The name is free again, and what remains goes on.
      await store.append('customer/2', [{ type: 'Registered', data: { name: 'Ann' } }])
      await store.append('cart/1', [{ type: 'Ordered', data: { amount: 4 } }])
      await store.append('member/2', [{ type: 'Joined', data: { team: 'blue' } }])
      assert.deepEqual(await store.views.get(buyers, '1'), { orders: 2, spent: 7 })
      assert.deepEqual(await store.views.get(teams, 'blue'), { members: ['member/2'] })
      await store.forget('cart/1', { reasonCode: 'asked' })
      assert.deepEqual(await store.views.get(turnover, 'all'), { orders: 2, spent: 7 })
    },

    'Whoever lacks a definition that is in use cannot write past its views': async (open) => {
      const store = await open({ projections: [customers] })
      await store.append('customer/1', [{ type: 'Registered', data: { name: 'Ann' }, id: 'a' }])
      const other = await open()
      const missing = { code: 'projection-missing', projection: 'customers', version: 1 }
      await assert.rejects(other.append('customer/1', [{ type: 'Moved', data: { city: 'Bern' } }]), missing)
      await assert.rejects(other.forget('customer/1', { reasonCode: 'asked' }), missing)
      const again = await other.append('customer/1', [{ type: 'Registered', data: { name: 'Ann' }, id: 'a' }])
      assert.equal(again.repeated, true)
      await other.append('customer/1', [{ type: 'Greeted' }])
      await other.append('cart/1', [{ type: 'Moved', data: { city: 'Bern' } }])
      await assert.rejects(other.views.get('customers', '1'), { code: 'projection-not-found' })
    },

    'A version keeps its facts; a definition that is changed needs the next one': async (open) => {
      await open({ projections: [customers] })
      const changed = { ...customers, indexes: [], search: ['name'] }
      await assert.rejects(open({ projections: [buyers, changed] }), {
        code: 'projection-clash',
        projection: 'customers',
        version: 1,
        differs: ['indexes', 'search'],
      })
      // Nothing of what came with it was made known.
      const store = await open({ projections: [{ ...buyers, streamTypes: ['cart'] }, customers] })
      await store.append('cart/1', [{ type: 'Ordered', data: { amount: 3 } }])
      assert.deepEqual(await store.views.get<Buyer>('buyers', '1'), { orders: 1, spent: 3 })
    },
  })

async function until1<Found>(find: () => Promise<Found | undefined>): Promise<Found> {
  let found: Found | undefined
  await until(async () => {
    found = await find()
    return found !== undefined
  })
  return found as Found
}
