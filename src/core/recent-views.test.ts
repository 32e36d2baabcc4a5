import { expect, test } from 'vitest'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { limits } from './limits.ts'
import { projection } from './projection.ts'
import { createRecentViews } from './recent-views.ts'
import { openStore } from './store.ts'

type Paid = { readonly type: 'Paid'; readonly data: { readonly amount: number } }

const sums = projection<Paid, { sum: number }>()({
  name: 'sums',
  lifecycle: 'inline',
  streamTypes: ['payment'],
  on: { Paid: (view, { data }) => ({ sum: (view?.sum ?? 0) + data.amount }) },
})

test('a view that this process wrote last is not read again, one that others write too is', async () => {
  const log = memoryLog()
  let read = 0
  const open = async () => {
    const storage = memoryStorage({ log })
    const counted = {
      ...storage,
      async getDocuments(...keys: Parameters<typeof storage.getDocuments>) {
        read += keys[0].filter(({ collection }) => collection === 'sums@1').length
        return storage.getDocuments(...keys)
      },
    }
    return openStore(counted, { projections: [sums] })
  }
  await using mine = await open()
  await using other = await open()
  const pay = (store: typeof mine) => store.append('payment/1', [{ type: 'Paid', data: { amount: 1 } }])
  for (let count = 0; count < 5; count++) await pay(mine)
  expect(read).toBe(1)
  for (let count = 0; count < 5; count++) {
    await pay(other)
    await pay(mine)
  }
  expect(await mine.views.get(sums, '1')).toEqual({ sum: 15 })
  expect(read).toBeGreaterThanOrEqual(11)
})

test('a view that is forgotten is not brought back by what a process remembers of it', async () => {
  const log = memoryLog()
  const shared = projection<Paid, { sum: number }>()({ ...sums, streamTypes: ['payment', 'refund'] })
  await using mine = await openStore(memoryStorage({ log }), { projections: [shared] })
  await using other = await openStore(memoryStorage({ log }), { projections: [shared] })
  await mine.append('payment/1', [{ type: 'Paid', data: { amount: 5 } }])
  await mine.append('refund/1', [{ type: 'Paid', data: { amount: 7 } }])
  await other.forget('payment/1', { reasonCode: 'asked' })
  await mine.append('refund/1', [{ type: 'Paid', data: { amount: 1 } }])
  expect(await mine.views.get(shared, '1')).toEqual({ sum: 8 })
})

test('no more is remembered than the limits say', () => {
  const views = createRecentViews()
  const body = 'x'.repeat(limits.foldViewCharacters / 4)
  for (let view = 0; view < 6; view++) views.keep(`large/${view}`, { version: '1', body })
  expect([1, 2, 5].map((view) => views.get(`large/${view}`) !== undefined)).toEqual([false, true, true])
  for (let view = 0; view < limits.foldViews + 1; view++) views.keep(`small/${view}`, { version: '1', body: '{}' })
  expect(views.get('small/0')).toBeUndefined()
  expect(views.get('small/1')).toBeDefined()
  views.share('small/1')
  views.keep('small/1', { version: '2', body: '{}' })
  expect(views.get('small/1')).toBeUndefined()
})
