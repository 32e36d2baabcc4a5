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
  const ads: AdView[] = []
  let place = placeOf(asked.cursor)
  /** Where the page ended; from there on it is only looked whether there is another ad. */
  let end: Place | undefined
  for (let looked = 0; looked < lookedAt; ) {
    const { among, cursor } = place
    const limit = asked.limit - (end ? 0 : ads.length)
    const text = among === 'words' ? searched.join(' ') : hasMore
    const { views, next } = await store.views.search(adViews, { text, limit, ...(cursor !== undefined && { cursor }) })
    const found = views
      .map(({ view }) => view)
      .filter((ad) => fits(ad, words, asked) && (among === 'words' || !isSearched(ad, searched)))
    if (end && found.length > 0) return { ads, next: cursorOf(end) }
    ads.push(...found)
    if (next === undefined && among === 'all') return { ads }
    place = next === undefined ? { among: 'all' } : { among, cursor: next }
    if (ads.length === asked.limit) end ??= place
    looked += limit
  }
  return { ads, next: cursorOf(end ?? place) }
}

/** Whether the store finds it by the words. */
function isSearched({ words }: AdView, searched: readonly string[]): boolean {
  return words === undefined || hasAll(wordsOf(words), searched)
}

/** Where the search goes on: among those that the store finds by the words, or all that have more words than it searches. */
interface Place {
  readonly among: 'words' | 'all'
  readonly cursor?: string
}

function cursorOf({ among, cursor = '' }: Place): string {
  return `${among}:${cursor}`
}

function placeOf(text = 'words:'): Place {
  const [, among, cursor] = /^(words|all):(.*)$/.exec(text) ?? []
  if (among !== 'words' && among !== 'all') throw noCursor()
  return { among, ...(cursor && { cursor }) }
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
