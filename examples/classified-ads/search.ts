/** Finding ads by words. What the store finds is held against the words again, so that a text is never anything but words. */
import { limits, type Store, wordsOf } from 'daybook'
import type { Ad } from './domain.ts'
import { noCursor } from './paging.ts'
import { type AdView, adViews, hasMore, wordsOfAd } from './views.ts'

export interface Search {
  readonly text: string
  readonly category?: string | undefined
  /** Both inclusive. */
  readonly minPrice?: number | undefined
  readonly maxPrice?: number | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

export interface Found {
  readonly ads: readonly AdView[]
  readonly next?: string
}

/** How many ads one page looks at; a page may be short of what was asked, and have a next one. */
const lookedAt = 1_000

/**
 * Ads that hold all words of the text, the last one as a beginning. First those that the store finds by their words, then,
 * of those that have more words than it searches, the others. A text without a word finds nothing.
 */
export async function search(store: Store, asked: Search): Promise<Found> {
  const words = wordsOf(asked.text)
  if (words.length === 0) return { ads: [] }
  const searched = words.slice(-limits.searchWords)
  const pageOf = (among: Among, limit: number, cursor?: string) => {
    const text = among === 'words' ? searched.join(' ') : hasMore
    return store.views.search(adViews, { text, limit, ...(cursor !== undefined && { cursor }) })
  }
  const ads: AdView[] = []
  let [among, cursor] = placeOf(asked.cursor)
  for (let looked = 0; looked < lookedAt && ads.length < asked.limit; ) {
    const limit = asked.limit - ads.length
    const { views, next } = await pageOf(among, limit, cursor)
    const found = views.map(({ view }) => view).filter((ad) => fits(ad, words, asked))
    ads.push(...found.filter((ad) => among === 'words' || !isSearched(ad, searched)))
    looked += limit
    cursor = next
    if (cursor === undefined && among === 'all') return { ads }
    if (cursor === undefined) among = 'all'
  }
  const more = cursor !== undefined || among === 'words' || (await pageOf('all', 1)).views.length > 0
  return { ads, ...(more && { next: `${among}:${cursor ?? ''}` }) }
}

/** Whether the store finds it by the words. */
function isSearched({ words }: AdView, searched: readonly string[]): boolean {
  return words === undefined || hasAll(wordsOf(words), searched)
}

type Among = 'words' | 'all'

function placeOf(cursor = 'words:'): [Among, string | undefined] {
  const [, among, place] = /^(words|all):(.*)$/.exec(cursor) ?? []
  if (among === undefined) throw noCursor()
  return [among as Among, place || undefined]
}

function fits(ad: Ad, words: readonly string[], { category, minPrice, maxPrice }: Search): boolean {
  if (category !== undefined && ad.category !== category) return false
  if (minPrice !== undefined && ad.price < minPrice) return false
  if (maxPrice !== undefined && ad.price > maxPrice) return false
  return hasAll(wordsOfAd(ad), words)
}

function hasAll(held: readonly string[], words: readonly string[]): boolean {
  const beginning = words.at(-1) ?? ''
  const whole = words.slice(0, -1)
  return held.some((word) => word.startsWith(beginning)) && whole.every((word) => held.includes(word))
}
