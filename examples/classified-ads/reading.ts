/** What everybody may read: a publisher's ads, one ad, its versions, and ads that are found by words. */
import * as z from 'zod/mini'
import { NotThere } from '../web/refused.ts'
import { type Asked, row } from '../web/route.ts'
import { type Ad, ad } from './domain.ts'
import { row as adRow, rowsOfAd } from './history.ts'
import { paged, pages } from './paging.ts'
import { adId, example } from './publishing.ts'
import { search } from './search.ts'
import { type AdView, adViews } from './views.ts'

const exampleAd: Ad = { adId, publisherId: 'acme', ...example }
const many = { usual: 1_000, most: 1_000 }
const some = { usual: 25, most: 100 }
/** `Number` alone would take an empty text for 0. */
const price = z.optional(
  z.pipe(
    z.string().check(z.regex(/^-?\d+(\.\d+)?$/, 'must be a number'), z.meta({ type: 'number', format: 'double' })),
    z.transform(Number),
  ),
)

export const readingRoutes = [
  row({
    method: 'GET',
    path: '/publisher/{publisher}/ad',
    operationId: 'listAds',
    tag: 'ads',
    summary: "A publisher's ads, by their ids",
    query: pages(many),
    answer: { schema: z.array(ad), example: [exampleAd] },
    refusal: 'A parameter is wrong.',
    async handle(asked) {
      const { limit = many.usual, cursor } = asked.query
      const equals = { publisherId: asked.path['publisher'] ?? '' }
      const query = { equals, limit, ...(cursor !== undefined && { cursor }) }
      const { views, next } = await asked.store.views.query(adViews, query)
      return paged(
        asked,
        views.map(({ view }) => shown(view)),
        next,
      )
    },
  }),
  row({
    method: 'GET',
    path: '/publisher/{publisher}/ad/{adId}',
    operationId: 'readAd',
    tag: 'ads',
    summary: 'An ad, or its versions',
    description: 'With `versions`, all that was recorded of it, oldest first, also of one that was deleted.',
    query: {
      versions: z.optional(z.string().check(z.meta({ description: 'Anything but `false` asks for the versions.' }))),
      ...pages(many),
    },
    answer: { schema: z.union([ad, z.array(adRow)]), example: exampleAd },
    refusal: 'A parameter is wrong.',
    missing: 'The publisher has no such ad.',
    async handle(asked) {
      const { versions = 'false', limit = many.usual, cursor } = asked.query
      if (versions === 'false') return current(asked)
      const { adId = '', publisher } = asked.path
      const { rows, next } = await rowsOfAd(asked.store, adId, { limit, cursor })
      if (rows.some(({ publisherId }) => publisherId !== publisher)) throw noAd(asked)
      return paged(asked, rows, next)
    },
  }),
  row({
    method: 'GET',
    path: '/',
    operationId: 'searchAds',
    tag: 'search',
    summary: 'Ads that hold all words of a text',
    description:
      'In title, description, category and tags; the last word may be the beginning of one. Without `q` this leads to the page that you read.',
    needs: 'q',
    query: {
      q: z.string().check(z.meta({ description: 'Words. Whatever else is in it separates them.' })),
      category: z.optional(z.string()),
      'min-price': price,
      'max-price': price,
      ...pages(some),
    },
    answer: { schema: z.array(ad), example: [exampleAd] },
    refusal: 'A parameter is wrong.',
    async handle(asked) {
      const {
        q: text,
        category,
        'min-price': minPrice,
        'max-price': maxPrice,
        limit = some.usual,
        cursor,
      } = asked.query
      const { ads, next } = await search(asked.store, { text, category, minPrice, maxPrice, limit, cursor })
      return paged(asked, ads.map(shown), next)
    },
  }),
]

async function current(asked: Asked): Promise<Ad> {
  const { adId = '', publisher } = asked.path
  const view = await asked.store.views.get(adViews, adId)
  if (view?.publisherId === publisher) return shown(view as AdView)
  throw noAd(asked)
}

function shown({ words: _, ...ad }: AdView): Ad {
  return ad
}

export function noAd({ path: { publisher, adId } }: Asked): NotThere {
  return new NotThere(`Publisher ${publisher} has no ad ${adId}`, { publisherId: publisher, adId })
}
