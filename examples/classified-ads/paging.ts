/** Lists in pages: the body stays an array, and where there is more, the header `Link` leads to the next page. */
import * as z from 'zod/mini'
import { invalid, type Refused } from '../web/refused.ts'
import type { Asked } from '../web/route.ts'

/** Query parameters of a list that gives `usual` items unless it is asked for more or fewer. */
export function pages({ usual, most }: { readonly usual: number; readonly most: number }) {
  const range = `must be 1 to ${most}`
  return {
    limit: z.optional(
      z.coerce
        .number(range)
        .check(z.int(range), z.minimum(1, range), z.maximum(most, range))
        .check(z.meta({ description: `At most so many; ${usual} unless it says otherwise.` })),
    ),
    cursor: z.optional(z.string().check(z.meta({ description: 'As the link to the next page has it.' }))),
  }
}

/** The page that was asked for, with the link to the next one, relative to what was asked. */
export function paged<Item>({ url, answerHeaders }: Asked, items: readonly Item[], next: string | undefined) {
  if (next !== undefined) {
    const query = new URLSearchParams(url.search)
    query.set('cursor', next)
    answerHeaders.set('Link', `<?${query}>; rel="next"`)
  }
  return items
}

export function noCursor(): Refused {
  return invalid([['cursor', ['must be of the link to the next page']]])
}

/** Of a cursor that counts; 0 is the beginning. */
export function placeOf(cursor = '0'): number {
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor)
  throw noCursor()
}
