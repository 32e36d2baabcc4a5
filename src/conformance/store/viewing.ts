/** Reading views: by id, by index, by words, as they were; and what is refused with what would mend it. */
import assert from 'node:assert/strict'
import type { EventOf } from '../../core/event.ts'
import { projection } from '../../core/projection.ts'
import type { Store } from '../../core/store.ts'
import type { ViewPage } from '../../core/view.ts'
import { cases, range } from '../kit.ts'
import { type OpenStore, positionOf, until } from './kit.ts'

type AdEvent = EventOf<{
  Published: { title: string; city: string; price: number }
  Repriced: { price: number }
  Withdrawn: null
}>
interface Ad {
  readonly title: string
  readonly city: string
  readonly price: number
}
const ads = projection<AdEvent, Ad>()({
  name: 'ads',
  lifecycle: 'inline',
  streamTypes: ['ad'],
  on: {
    Published: (_, { data }) => data,
    Repriced: (ad, { data }) => ad && { ...ad, price: data.price },
    Withdrawn: () => undefined,
  },
  indexes: [
    { name: 'by-city', equals: ['city'], order: 'price' },
    { name: 'by-city-and-title', equals: ['city', 'title'] },
    { name: 'all', equals: [], order: 'price' },
    { name: 'all-by-title', equals: [], order: 'title' },
  ],
  search: ['title', 'city'],
})
type Shown = { prices: number[]; last?: string }
const seen = (view: Shown | undefined, price: number, time: string): Shown => ({
  prices: [...(view?.prices ?? []), price],
  last: view?.last !== undefined && view.last > time ? view.last : time,
})
const shown = projection<AdEvent, Shown>()({
  name: 'shown',
  lifecycle: 'live',
  streamTypes: ['ad', 'offer'],
  on: {
    Published: (view, { data, time }) => seen(view, data.price, time),
    Repriced: (view, { data, time }) => seen(view, data.price, time),
  },
})
const cities = projection<AdEvent, { ads: string[] }>()({
  name: 'cities',
  lifecycle: 'live',
  key: (event) => (event.type === 'Published' ? event.data.city : undefined),
  on: { Published: (city, { stream }) => ({ ads: [...(city?.ads ?? []), stream].sort() }) },
})

const publish = (store: Store, id: number, ad: Partial<Ad> = {}) =>
  store.append(`ad/${id}`, [
    { type: 'Published', data: { title: `Bike ${id}`, city: id % 2 ? 'Bern' : 'Basel', price: 10 * id, ...ad } },
  ])
const idsOf = ({ views }: ViewPage) => views.map(({ id }) => id)

export const viewing = (open: OpenStore) =>
  cases(open, {
    'An index answers by its values, a range of its order and a direction, page by page': async (open) => {
      const store = await open({ projections: [ads] })
      await Promise.all(range(1, 9).map((id) => publish(store, id)))
      await store.append('ad/3', [{ type: 'Withdrawn' }])
      await store.append('ad/1', [{ type: 'Repriced', data: { price: 75 } }])
      const bern = { equals: { city: 'Bern' } }
      const page = await store.views.query(ads, bern)
      assert.deepEqual(idsOf(page), ['5', '7', '1', '9'])
      assert.deepEqual(page.views[0], { id: '5', view: { title: 'Bike 5', city: 'Bern', price: 50 } })
      assert.equal(page.next, undefined)
      const some = await store.views.query(ads, { ...bern, from: 70, to: 75, direction: 'backwards' })
      assert.deepEqual(idsOf(some), ['1', '7'])
      const titled = await store.views.query('ads', { equals: { title: 'Bike 9', city: 'Bern' } })
      assert.deepEqual(idsOf(titled), ['9'])
      const paged: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.views.query(ads, { index: 'all', limit: 3, ...(cursor && { cursor }) })
        assert.ok(page.views.length <= 3)
        paged.push(...idsOf(page))
        cursor = page.next
      } while (cursor !== undefined)
      assert.deepEqual(paged, ['2', '4', '5', '6', '7', '1', '8', '9'])
    },

    'Pages go on behind whatever an id holds': async (open) => {
      const store = await open({ projections: [ads] })
      const ids = ['a', 'b~c', 'd%7E~', 'é ~"{', 'z']
      for (const id of ids) {
        await store.append(`ad/${id}`, [{ type: 'Published', data: { title: id, city: '~', price: 1 } }])
      }
      const paged: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.views.query(ads, { equals: { city: '~' }, limit: 1, ...(cursor && { cursor }) })
        paged.push(...idsOf(page))
        cursor = page.next
      } while (cursor !== undefined)
      assert.deepEqual(paged.sort(), ids.sort())
    },

    'Words find views, where the storage has a search': async (open) => {
      const store = await open({ projections: [ads] })
      await publish(store, 1, { title: 'Red bicycle, hardly used' })
      await publish(store, 2, { title: 'Blue bicycle' })
      await publish(store, 3, { title: 'Piano' })
      const found = async (text: string) => [...idsOf(await store.views.search(ads, { text }))].sort()
      assert.deepEqual(await found('bicy'), ['1', '2'])
      assert.deepEqual(await found('bern BICYCLE'), ['1'])
      assert.deepEqual(await found('piano basel'), [])
      await store.append('ad/2', [{ type: 'Withdrawn' }])
      assert.deepEqual(await found('bicycle'), ['1'])
      const first = await store.views.search(ads, { text: 'b', limit: 1 })
      const second = await store.views.search(ads, { text: 'b', limit: 1, ...(first.next && { cursor: first.next }) })
      assert.deepEqual([...idsOf(first), ...idsOf(second)].sort(), ['1', '3'])
    },

    'What no view, index, field or page answers is refused, with what there is': async (open) => {
      const store = await open({ projections: [ads, shown] })
      await Promise.all(range(1, 6).map((id) => publish(store, id)))
      const refused = (asked: Promise<unknown>, message: RegExp, code = 'invalid-argument') =>
        assert.rejects(asked, (error: Error & { code: string }) => {
          assert.equal(error.code, code)
          assert.match(error.message, message)
          return true
        })
      const { views } = store
      await refused(views.get('adverts', '1'), /adverts.*ads, shown/, 'projection-not-found')
      await refused(views.query('adverts', {}), /adverts/, 'projection-not-found')
      await refused(views.get(ads, ''), /^id: /)
      await refused(views.get({} as never, '1'), /^view: /)
      await refused(
        views.query(ads, { index: 'by-town', equals: { city: 'Bern' } }),
        /by-city by city, ordered by price/,
      )
      await refused(views.query(ads, { equals: { town: 'Bern' } }), /^equals.town: .*city, price, title/)
      await refused(views.query(ads, { equals: { title: 'Bike' } }), /no index serves/)
      await refused(views.query(ads, {}), /several indexes/)
      await refused(
        views.query(ads, { index: 'by-city', equals: { title: 'Bike' } }),
        /needs a value for each of: city/,
      )
      await refused(views.query(ads, { equals: { city: {} as never } }), /^equals.city: /)
      await refused(views.query(ads, { equals: { city: 'Bern', title: 'Bike 1' }, from: 1 }), /has no order/)
      await refused(views.query(ads, { equals: { city: 'Bern' }, limit: 0 }), /^limit: /)
      await refused(views.query(ads, { equals: { city: 'Bern' }, direction: 'up' as never }), /^direction: /)
      await refused(views.query(shown, { index: 'all' }), /folded when it is read/)
      await refused(views.search(shown, { text: 'bike' }), /folded when it is read/)
      await refused(views.search(ads, { text: ' ' }), /^text: /)
      const { next = assert.fail() } = await views.query(ads, { equals: { city: 'Bern' }, limit: 1 })
      assert.deepEqual(idsOf(await views.query(ads, { equals: { city: 'Bern' }, limit: 1, cursor: next })), ['3'])
      for (const other of [{ equals: { city: 'Basel' } }, { equals: { city: 'Bern' }, from: 1 }, { index: 'all' }]) {
        await refused(views.query(ads, { ...other, cursor: next }), /^cursor: /)
      }
      await refused(views.search(ads, { text: 'bike', cursor: next }), /^cursor: /)
      for (const cursor of ['x', '', `${next}x`, next.slice(0, -1), next.replace('~', '~~'), '%']) {
        await refused(views.query(ads, { equals: { city: 'Bern' }, cursor }), /^cursor: /)
      }
    },

    'A definition that cannot be kept is refused when the store is opened': async (open) => {
      const refused = (projections: readonly unknown[], path: RegExp) =>
        assert.rejects(open({ projections: projections as never }), (error: Error & { code: string; path: string }) => {
          assert.equal(error.code, 'invalid-argument')
          assert.match(error.path, path)
          return true
        })
      await refused([{ ...ads, name: '$ads' }], /name/)
      await refused([{ ...ads, version: 0 }], /version/)
      await refused([{ ...ads, lifecycle: 'eager' }], /lifecycle/)
      await refused([{ ...ads, on: {} }], /on/)
      await refused([{ ...ads, on: { Published: 'x' } }], /on.Published/)
      await refused([{ ...ads, streamTypes: [] }], /streamTypes/)
      await refused([{ ...ads, latenessMs: 1 }], /latenessMs/)
      await refused([{ ...shown, search: ['last'] }], /indexes/)
      await refused([ads, { ...ads }], /projections\[1\]/)
    },

    'A live view is folded when it is read, with time and position, and joins its streams in the order of the log':
      async (open) => {
        let now = 1_000
        const store = await open({ projections: [shown, cities], clock: () => now })
        await publish(store, 1, { price: 1 })
        now = 2_000
        await store.append('offer/1', [{ type: 'Repriced', data: { price: 2 } }])
        now = 3_000
        await store.append('ad/1', [{ type: 'Repriced', data: { price: 3 } }])
        await publish(store, 3)
        await Promise.all(['ad/1', 'offer/1', 'ad/3'].map((stream) => positionOf(store, stream)))
        const view = await store.views.get(shown, '1')
        assert.equal(view?.last, '1970-01-01T00:00:03.000Z')
        assert.deepEqual([...(view?.prices ?? [])].sort(), [1, 2, 3])
        if ((await store.info()).storage !== 'dynamodb') assert.equal(view?.prices.length, 3)
        assert.equal(await store.views.get(shown, '9'), undefined)
        assert.deepEqual(await store.views.get(cities, 'Bern'), { ads: ['ad/1', 'ad/3'] })
        assert.deepEqual(await store.views.get(shown, '1', { at: new Date(1_500) }), {
          prices: [1],
          last: '1970-01-01T00:00:01.000Z',
        })
        await store.forget('ad/1', { reasonCode: 'asked' })
        assert.deepEqual((await store.views.get(shown, '1'))?.prices, [2])
      },

    'A view is read as it was at a revision, at an instant, and as what came between two makes it': async (open) => {
      let now = 1_000
      const store = await open({ projections: [ads], clock: () => now })
      await publish(store, 1, { price: 1 })
      for (const price of [2, 3, 4]) {
        now += 1_000
        await store.append('ad/1', [{ type: 'Repriced', data: { price } }])
      }
      now += 1_000
      await store.append('ad/1', [{ type: 'Withdrawn' }])
      assert.equal(await store.views.get(ads, '1'), undefined)
      const price = async (options: object) => (await store.views.get(ads, '1', options))?.price
      assert.equal(await price({ at: 1 }), 1)
      assert.equal(await price({ at: 3 }), 3)
      assert.equal(await price({ at: new Date(3_999) }), 3)
      assert.equal(await price({ at: '1970-01-01T00:00:04.000Z' }), 4)
      assert.equal(await price({ at: 5 }), undefined)
      assert.equal(await price({ from: 2, at: 3 }), undefined)
      await publish(store, 1, { price: 6 })
      await store.append('ad/1', [{ type: 'Repriced', data: { price: 7 } }])
      assert.equal(await price({ from: 6 }), 7)
      assert.equal(await price({ from: new Date(5_000), at: 6 }), 6)
      assert.equal(await store.views.get(ads, '2', { at: 1 }), undefined)
      const refused = { code: 'invalid-argument', path: 'at' }
      await assert.rejects(price({ at: 8 }), refused)
      await assert.rejects(price({ at: 0 }), refused)
      await assert.rejects(price({ at: new Date(999) }), refused)
      await assert.rejects(price({ at: new Date(now + 1) }), refused)
      await assert.rejects(price({ at: -1 }), refused)
      await assert.rejects(price({ at: 'yesterday' }), refused)
      await assert.rejects(price({ from: 3, at: 2 }), { path: 'from' })
      await store.forget('ad/1', { reasonCode: 'asked' })
      assert.equal(await price({ at: 1 }), undefined)
    },

    'A view of several streams is read as it was at an instant only': async (open) => {
      let now = 1_000
      const both = { ...ads, name: 'both', streamTypes: ['ad', 'offer'] }
      const byCity = { ...cities, name: 'by-city', lifecycle: 'inline' as const }
      const store = await open({ projections: [both, byCity], clock: () => now })
      await publish(store, 1, { price: 1 })
      now = 2_000
      await store.append('offer/1', [{ type: 'Repriced', data: { price: 2 } }])
      await publish(store, 3)
      const at = new Date(1_000)
      assert.equal((await store.views.get(both, '1'))?.price, 2)
      assert.equal((await store.views.get(both, '1', { at }))?.price, 1)
      assert.deepEqual(await store.views.get(byCity, 'Bern', { at }), { ads: ['ad/1'] })
      for (const view of ['both', 'by-city']) {
        await assert.rejects(store.views.get(view, '1', { at: 1 }), { code: 'invalid-argument', path: 'at' })
      }
    },

    'By the events’ own time a late one takes its place, none is lost, and a rebuild gives the same': async (open) => {
      let now = 100_000
      const lateness = { streamTypes: ['ad', 'offer'], latenessMs: 1_000 }
      const kept = { ...shown, ...lateness, name: 'kept', lifecycle: 'async' as const }
      const folded = { ...shown, ...lateness, name: 'folded' }
      const store = await open({ projections: [kept, folded], clock: () => now })
      const runner = store.projections.start()
      const told = async (stream: string, price: number, ageMs: number) => {
        now += 400
        const meta = { occurredAt: new Date(now - ageMs).toISOString() }
        const { revision } = await store.append(stream, [{ type: 'Repriced', data: { price }, meta }])
        const view = await store.views.get<Shown>('kept', '1', { after: { stream, revision } })
        assert.deepEqual(view, await store.views.get<Shown>('folded', '1'))
      }
      // The second and the fourth are late, the fifth is too late to be believed, the sixth comes from a clock that is ahead.
      const ages: readonly [string, number][] = [
        ['ad/1', 0],
        ['ad/1', 700],
        ['offer/1', 0],
        ['ad/1', 1_000],
        ['offer/1', 1_001],
        ['ad/1', -5],
        ['ad/1', 0],
        ['ad/1', 900],
      ]
      for (const [index, [stream, age]] of ages.entries()) await told(stream, index + 1, age)
      const inOrder = [2, 1, 4, 3, 5, 8, 6, 7]
      assert.deepEqual((await store.views.get<Shown>('kept', '1'))?.prices, inOrder)
      await store.projections.rebuild('kept')
      await until(async () => (await store.views.get<Shown>('kept', '1'))?.prices.length === ages.length)
      assert.deepEqual((await store.views.get<Shown>('kept', '1'))?.prices, inOrder)
      await runner.stop()
    },

    'Whoever has seen an event recorded can wait for a view that holds it': async (open) => {
      const store = await open({ projections: [ads, shown, cities] })
      const { stream, revision } = await publish(store, 1)
      const after = { stream, revision }
      assert.equal((await store.views.get(ads, '1', { after }))?.price, 10)
      assert.deepEqual((await store.views.get(shown, '1', { after }))?.prices, [10])
      assert.deepEqual(await store.views.get(cities, 'Bern', { after }), { ads: ['ad/1'] })
      await assert.rejects(store.views.get(shown, '1', { after: { stream, revision: -1 } }), { path: 'after.revision' })
      await assert.rejects(store.views.get(shown, '1', { after, timeoutMs: -1 }), { path: 'timeoutMs' })
    },
  })
