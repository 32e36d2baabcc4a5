import { beforeEach, describe, expect, test } from 'vitest'
import { fill, gdpr, newShop, type OrderEvent, placed, subjects } from './fixtures/shop.ts'
import { projection } from './projection.ts'
import type { Storage } from './storage.ts'
import { openStore } from './store.ts'

let shop: ReturnType<typeof newShop>
beforeEach(() => {
  shop = newShop()
})
const bare = () => shop.bare()
const open: ReturnType<typeof newShop>['open'] = (...all) => shop.open(...all)

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
    const orders = projection<OrderEvent, { name: string }>()({
      ...{ name: 'orders', lifecycle: 'inline', streamTypes: ['order'] },
      on: { OrderPlaced: (_, { data }) => ({ name: data.customer.name }) },
    })
    const projections = [orders]
    for (let crash = 1; ; crash++) {
      shop = newShop()
      {
        await using store = await open({ projections })
        await fill(store)
      }
      let steps = 0
      const storage = bare()
      const dying: Storage = {
        ...storage,
        commit: (commits) => (++steps >= crash ? Promise.reject(new Error('crash')) : storage.commit(commits)),
        erase: (step) => (++steps >= crash ? Promise.reject(new Error('crash')) : storage.erase(step)),
      }
      const store = await open({ projections }, dying)
      steps = 0
      const crashed = await store.forget({ subject: 'customer/42', ...gdpr }).then(
        () => false,
        () => true,
      )
      await store.close()
      await using next = await open({ projections })
      // What was done before the crash is told as what is done after it.
      const report = await next.forget({ subject: 'customer/42', ...gdpr })
      expect([crash, report]).toMatchObject([crash, { key: 'destroyed', streams: 3, events: 3, masked: 1 }])
      for (const stream of ['customer/42', 'letter/42', 'case/7']) {
        expect((await next.details(stream))?.forgotten, `${stream}, crash ${crash}`).toBe(true)
      }
      expect((await next.readPage('order/1')).events[0]?.data).toMatchObject({ customer: { name: '(forgotten)' } })
      expect(await next.views.get(orders, '1')).toEqual({ name: '(forgotten)' })
      if (!crashed) break
      expect(crash).toBeLessThan(60)
    }
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
