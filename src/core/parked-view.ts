/**
 * Parked views: entities of a projection at which a handler failed more often than it is tried. Later events of theirs are
 * passed over, and counted here, so that their order is kept; the others go on. Once the handler is mended they are made anew
 * from their streams.
 */
import type { VersionName } from './checkpoint.ts'
import { guardOf, indexQuery, putDocument } from './document.ts'
import type { Failure } from './failure.ts'
import { limits } from './limits.ts'
import { pageKey, placeIn } from './page-key.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Storage } from './storage.ts'

export interface ParkedView {
  readonly key: string
  /** The event at which it failed. */
  readonly stream: string
  readonly revision: number
  readonly type: string
  readonly tries: number
  readonly failure: Failure
  /** Later events, which were passed over. */
  readonly waiting: number
  /** Position of the last of them. */
  readonly at: number
}

/** With the version of its document. */
export interface StoredParked {
  readonly parked: ParkedView
  readonly version: string
}

export function parkedViews({ name, version }: VersionName): CollectionSpec {
  return { collection: `${name}@${version}~parked`, indexes: [{ name: 'all', equals: [], order: 'key' }] }
}

export function parkedKey(of: VersionName, key: string): DocumentKey {
  return { collection: parkedViews(of).collection, key }
}

export function parkedOf({ body, version }: Document): StoredParked {
  return { parked: JSON.parse(body) as ParkedView, version }
}

/** It goes with the stream at whose event it failed, for the failure's words may tell of it. */
export function parkWrites(
  of: VersionName,
  parked: ParkedView,
  known: StoredParked | undefined,
): readonly DocumentWrite[] {
  return putDocument(parkedViews(of), {
    key: parked.key,
    body: parked,
    streams: [parked.stream],
    if: guardOf(known),
  })
}

export function unparkWrite(of: VersionName, { parked, version }: StoredParked): DocumentWrite {
  return { kind: 'delete', key: parkedKey(of, parked.key), if: { is: 'version', version } }
}

export interface ParkedPage {
  readonly parked: readonly StoredParked[]
  readonly next?: string
}

/** In order of their keys; may lag. */
export async function parkedPage(
  storage: Pick<Storage, 'queryDocuments'>,
  of: VersionName,
  { cursor, limit }: { readonly cursor?: string | undefined; readonly limit: number },
): Promise<ParkedPage> {
  const listing = [parkedViews(of).collection]
  const place = cursor === undefined ? {} : { cursor: placeIn(listing, cursor) }
  const asked = { index: 'all', equals: [], limit, ...place }
  const { documents, next } = await storage.queryDocuments(indexQuery(parkedViews(of), asked))
  return { parked: documents.map(parkedOf), ...(next !== undefined && { next: pageKey(listing, next) }) }
}

export async function allParked(
  storage: Pick<Storage, 'queryDocuments'>,
  of: VersionName,
): Promise<readonly StoredParked[]> {
  const all: StoredParked[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await parkedPage(storage, of, { cursor, limit: limits.pageRecords })
    all.push(...page.parked)
    if (page.next === undefined) return all
    cursor = page.next
  }
}
