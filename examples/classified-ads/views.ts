/** What the events become: the ads as they are, listed by publisher and found by words. They commit with the events. */
import { projection, wordsOf } from 'daybook'
import type { Ad, AdEvent } from './domain.ts'

/** An ad as it is kept to be read. */
export interface AdView extends Ad {
  /** Only where not all words can be searched: the first of them. */
  readonly words?: string
}

export interface SearchOptions {
  /**
   * Of each ad, where a storage takes only so many entries in one commit (DynamoDB). What has more is found too: it is looked
   * through. Default: all.
   */
  readonly words?: number
}

const named = { name: 'ads', lifecycle: 'inline', streamTypes: ['ad'] } as const
const indexes = [{ name: 'by-publisher', equals: ['publisherId'], order: 'adId' }]

/** By their ids. Deleting or erasing an ad takes the view away. */
export function adViewsOf({ words: most }: SearchOptions = {}) {
  const asRecorded = (_: AdView | undefined, { data }: { readonly data: Ad }): AdView =>
    most === undefined ? data : { ...data, words: firstWords(data, most) }
  return projection<AdEvent, AdView>()({
    ...named,
    on: { AdCreated: asRecorded, AdUpdated: asRecorded, AdDeleted: () => undefined },
    indexes,
    search: most === undefined ? ['adTitle', 'category', 'tags', 'adDescription'] : ['words'],
  })
}

/** What to read the views by, however they are searched. */
export const adViews = adViewsOf()

/** All that is searched of an ad, as the store tells words apart; what tells most first. */
export function wordsOfAd({ adTitle, category, tags, adDescription }: Ad): readonly string[] {
  return [...new Set([adTitle, category, ...tags, adDescription].flatMap(wordsOf))]
}

/** Stands among the words of an ad that has more of them than can be searched. */
export const hasMore = 'hasmorewordsthanthese'

function firstWords(ad: Ad, most: number): string {
  const words = wordsOfAd(ad)
  return (words.length <= most ? words : [hasMore, ...words.slice(0, most - 1)]).join(' ')
}
