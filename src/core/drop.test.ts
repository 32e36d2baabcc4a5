import { expect, test } from 'vitest'
import { memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { type AnyProjection, type Lifecycle, projection } from './projection.ts'
import { openStore } from './store.ts'

type Paid = { readonly type: 'Paid'; readonly data: { readonly amount: number } }

const sums = (version: number, lifecycle: Lifecycle): AnyProjection =>
  projection<Paid, { sum: number }>()({
    ...{ name: 'sums', version, lifecycle, streamTypes: ['payment'] },
    on: { Paid: (view, { data }) => ({ sum: (view?.sum ?? 0) + data.amount * version }) },
  })

for (const lifecycle of ['async', 'inline'] as const) {
  test(`an ${lifecycle} version that is built anew while another process drops it is whole, and stays`, async () => {
    const log = memoryLog()
    const projections = [sums(1, lifecycle), sums(2, lifecycle)]
    await using builder = await openStore(memoryStorage({ log }), { projections })
    for (let amount = 1; amount <= 20; amount++) {
      await builder.append(`payment/${amount}`, [{ type: 'Paid', data: { amount } }])
    }
    await builder.projections.rebuild('sums', { version: 2 })
    const storage = memoryStorage({ log })
    let built: Promise<unknown> | undefined
    await using dropper = await openStore(
      {
        ...storage,
        async erase(step) {
          // While it erases, and for so long that the other would be done.
          built ??= builder.projections.rebuild('sums', { version: 1 })
          await new Promise((resolve) => setTimeout(resolve, 50))
          return storage.erase(step)
        },
      },
      { projections },
    )
    await dropper.projections.drop('sums', { version: 1 })
    await built
    const status = await dropper.projections.status('sums')
    expect(status).toMatchObject({ version: 1, reads: 1 })
    expect(status.versions.find(({ version }) => version === 1)).toMatchObject({ whole: true })
    for (let amount = 1; amount <= 20; amount++) {
      expect(await builder.views.get('sums', `${amount}`)).toEqual({ sum: amount })
    }
  })
}

test('a version that is dropped by two at once is gone', async () => {
  const log = memoryLog()
  const projections = [sums(1, 'async'), sums(2, 'async')]
  const open = () => openStore(memoryStorage({ log }), { projections })
  await using one = await open()
  await using two = await open()
  await one.append('payment/1', [{ type: 'Paid', data: { amount: 1 } }])
  await one.projections.rebuild('sums', { version: 2 })
  const dropped = await Promise.allSettled([one, two].map((store) => store.projections.drop('sums', { version: 1 })))
  expect(dropped.map(({ status }) => status)).toContain('fulfilled')
  expect((await one.projections.status('sums')).versions).toMatchObject([{ version: 2 }])
})
