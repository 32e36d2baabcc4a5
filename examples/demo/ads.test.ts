import { openStore } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { expect, test } from 'vitest'
import { rowsOfAll } from '../classified-ads/history.ts'
import { search } from '../classified-ads/search.ts'
import { adViews } from '../classified-ads/views.ts'
import { fillAds } from './ads.ts'

test('the sample is some weeks of ads, some of them deleted, and is recorded once', async () => {
  const until = new Date('2026-03-31T12:00:00Z')
  let now = 0
  const clock = () => now
  const store = await openStore(memoryStorage({ clock }), { projections: [adViews], clock })
  const turnTo = (instant: Date) => {
    now = instant.getTime()
  }
  const sampled = await fillAds(store, { until, turnTo })
  const { head } = await store.info()
  expect(head).toBe(sampled.ads + sampled.updates + sampled.deletions)
  expect([sampled.ads, sampled.updates > 100, sampled.deletions > 50]).toEqual([300, true, true])
  await fillAds(store, { until, turnTo })
  expect((await store.info()).head).toBe(head)

  const { rows } = await rowsOfAll(store, { limit: 1_000 })
  const times = rows.map(({ timestamp }) => timestamp)
  expect(times).toEqual(times.toSorted())
  expect([(times[0] ?? '') > '2026-02-03', (times[0] ?? '') < '2026-02-10']).toEqual([true, true])
  const { ads } = await search(store, { text: 'brass lamp', maxPrice: 75, limit: 100 })
  expect(ads.length).toBeGreaterThan(0)
  const { views } = await store.views.query(adViews, { equals: { publisherId: 'the-lamp-shop' } })
  expect(views.length).toBeGreaterThan(5)
  await store.close()
})
