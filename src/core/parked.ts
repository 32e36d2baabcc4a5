/**
 * The parked list: what could not be handled, with its error, until somebody asks for it again. An item (a stream of a
 * consumer, an entity of a projection) is parked at the first event that is not handled; what comes after it waits in the
 * log. An item's document goes when the stream of that event is forgotten, for the error may quote it.
 */
import { errorOf } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { deleteDocument, indexQuery, putDocument } from './document.ts'
import type { Failure } from './failure.ts'
import { derivedId } from './id.ts'
import { limits } from './limits.ts'
import { pageKey, placeIn } from './page-key.ts'
import { pageSize } from './read.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Guard, Storage } from './storage.ts'

export interface Parked {
  /** A stream, or the key of an entity. */
  readonly item: string
  /** The first event that is not handled. */
  readonly stream: string
  readonly revision: number
  readonly position: number
  readonly tries: number
  readonly error: Failure
  /** A replay was asked for, and has not begun or is under way. */
  readonly replay: boolean
}

export interface ParkedPage {
  readonly parked: readonly Parked[]
  readonly next?: string
}

export interface ParkedPageOptions {
  /** `next` of the page before. */
  readonly cursor?: string
  /** 1 to 1,000; default 100. */
  readonly limit?: number
}

export const parkedItems: CollectionSpec = {
  collection: '$parked',
  indexes: [{ name: 'of', equals: ['of'], order: 'position' }],
}

interface ParkedBody extends Parked {
  /** Whose it is. */
  readonly of: string
}

export function parkedKey(of: string, item: string): DocumentKey {
  return { collection: parkedItems.collection, key: derivedId(['parked', of, item]) }
}

export function parkedOf(document: Document): Parked {
  const { of: _, ...parked } = JSON.parse(document.body) as ParkedBody
  return parked
}

export function putParked(of: string, parked: Parked, guard: Guard = { is: 'anything' }): readonly DocumentWrite[] {
  const { key } = parkedKey(of, parked.item)
  const body: ParkedBody = { ...parked, of }
  return putDocument(parkedItems, { key, body, streams: [parked.stream], if: guard })
}

/** As it is kept where what was thrown may quote what is masked by now; the stream stays parked. */
export function quieted(parked: Parked): Parked {
  const { time } = parked.error
  return { ...parked, error: { name: 'Error', message: 'erased, for a subject of the stream was forgotten', time } }
}

export function deleteParked(of: string, item: string): readonly DocumentWrite[] {
  return deleteDocument(parkedItems, { key: parkedKey(of, item).key, if: { is: 'anything' } })
}

/** In order of position. */
export async function parkedPage(
  storage: Pick<Storage, 'queryDocuments'>,
  of: string,
  { cursor, limit }: ParkedPageOptions = {},
): Promise<ParkedPage & { readonly documents: readonly Document[] }> {
  const listing = [parkedItems.collection, of]
  const place = cursor === undefined ? {} : { cursor: placeIn(listing, cursor) }
  const page = { index: 'of', equals: [of], limit: pageSize(limit), ...place }
  const { documents, next } = await storage.queryDocuments(indexQuery(parkedItems, page))
  return { documents, parked: documents.map(parkedOf), ...(next !== undefined && { next: pageKey(listing, next) }) }
}

export async function* allParked(
  storage: Pick<Storage, 'queryDocuments'>,
  of: string,
): AsyncGenerator<{ readonly document: Document; readonly parked: Parked }> {
  let cursor: string | undefined
  do {
    const page = await parkedPage(storage, of, { limit: limits.pageRecords, ...(cursor !== undefined && { cursor }) })
    for (const [index, document] of page.documents.entries()) yield { document, parked: page.parked[index] as Parked }
    cursor = page.next
  } while (cursor !== undefined)
}

export interface ParkedList {
  readonly storage: Pick<Storage, 'queryDocuments' | 'getDocuments'>
  readonly queue: Pick<CommitQueue, 'add'>
  readonly newId: () => string
}

/** Marks one item or all of them; whoever works on them sees to the rest. Says how many there are to be replayed. */
export async function askReplay(list: ParkedList, of: string, item?: string): Promise<number> {
  let asked = 0
  if (item !== undefined) {
    const [document] = await list.storage.getDocuments([parkedKey(of, item)])
    return document && (await mark(list, of, document)) ? 1 : 0
  }
  for await (const { document } of allParked(list.storage, of)) if (await mark(list, of, document)) asked++
  return asked
}

/** False where it is gone. */
async function mark({ storage, queue, newId }: ParkedList, of: string, found: Document): Promise<boolean> {
  for (let document: Document | undefined = found; document !== undefined; ) {
    const parked = parkedOf(document)
    if (parked.replay) return true
    const documents = putParked(of, { ...parked, replay: true }, { is: 'version', version: document.version })
    const outcome = await queue.add({ id: newId(), appends: [], documents })
    if (outcome.outcome === 'committed') return true
    if (outcome.outcome !== 'document-conflict') throw errorOf(outcome)
    document = (await storage.getDocuments([parkedKey(of, parked.item)]))[0]
  }
  return false
}

/** All of them, for good. */
export async function dropParked({ storage, queue, newId }: ParkedList, of: string): Promise<void> {
  for await (const { parked } of allParked(storage, of)) {
    const outcome = await queue.add({ id: newId(), appends: [], documents: deleteParked(of, parked.item) })
    if (outcome.outcome !== 'committed') throw errorOf(outcome)
  }
}
