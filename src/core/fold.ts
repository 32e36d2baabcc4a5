/**
 * Folding: from view documents and events to view documents. A document says how far it is, by the revision of each of its
 * streams and, of an async view, by position; so an event that it holds already is passed over, and what was split over
 * several commits, or done twice, is in the view once. Where there is no view any more, the document stays and says so.
 */

import { guardOf, putDocument } from './document.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import type { Recorded } from './event.ts'
import { derivedId } from './id.ts'
import { limits } from './limits.ts'
import type { Shape } from './projection.ts'
import type { Document, DocumentKey, DocumentWrite, Storage } from './storage.ts'

/** What a view's document holds. */
export interface ViewBody {
  /** What the handlers made; absent where there is no view. */
  readonly view?: object
  /** Of an async view: position of the last event that it holds. */
  readonly at?: number
  /** By stream, the revision of the last event that it holds; not of totals by a function, which have any number of them. */
  readonly revisions?: Readonly<Record<string, number>>
  /** Of a projection by event time: what the view was made over. */
  readonly settled?: Settled
}

/** What stands before an instant, in epoch milliseconds: everything that is recorded later stands behind it. */
export interface Settled {
  readonly view?: object
  readonly before: number
  /** By stream, the last revision of which nothing stands at the instant or behind it. */
  readonly revisions: Readonly<Record<string, number>>
}

/** That a stream has made a view: for views whose key is a function. Of inline totals with the last revision they hold. */
export interface LinkBody {
  readonly stream: string
  readonly key: string
  readonly revision?: number
}

/** A view between two writes. */
export interface Folding {
  readonly key: string
  readonly body: ViewBody
  /** As it is stored; absent where it is not. */
  readonly stored?: { readonly version: string; readonly text: string }
  /** Of inline totals by a function: by stream, the revision that the link says, and then that of the last event folded. */
  readonly linked?: Readonly<Record<string, number>>
  /** Streams whose links are to be written. */
  readonly links?: readonly string[]
  /** It holds events that are not stored. */
  readonly folded?: true
}

/** Strongly consistent, in the order of the keys. */
export async function loadViews(
  storage: Pick<Storage, 'getDocuments'>,
  shape: Shape,
  keys: readonly string[],
): Promise<readonly Folding[]> {
  const { collection } = shape.views
  const documents = await storage.getDocuments(keys.map((key) => ({ collection, key })))
  return keys.map((key, index) => foldingOf(key, documents[index]))
}

export function foldingOf(key: string, document: Pick<Document, 'version' | 'body'> | undefined): Folding {
  if (document === undefined) return { key, body: {} }
  const { version, body: text } = document
  return { key, body: bodyOf(document), stored: { version, text } }
}

export function bodyOf({ body }: Pick<Document, 'body'>): ViewBody {
  return JSON.parse(body) as ViewBody
}

/** The same folding where it holds the event already. Throws what the handler throws. */
export function foldEvent(shape: Shape, folding: Folding, event: Recorded): Folding {
  const { body } = folding
  const { stream, revision, position } = event
  const inOrder = shape.lifecycle === 'async' && position !== undefined
  if (inOrder && position <= (body.at ?? 0)) return folding
  const held = keepsRevisions(shape) ? body.revisions?.[stream] : folding.linked?.[stream]
  if (revision <= (held ?? 0)) return folding
  const view = shape.fold(body.view, event)
  if (view !== undefined && (typeof view !== 'object' || view === null || Array.isArray(view))) {
    const place = `projection "${shape.name}", on ${JSON.stringify(event.type)}`
    throw new InvalidArgument(place, 'must give an object or undefined')
  }
  const linksNow = shape.keyed === 'by-function' && (linksRevision(shape) || (keepsRevisions(shape) && !held))
  return {
    ...folding,
    folded: true,
    body: {
      ...(view !== undefined && { view }),
      ...(inOrder && { at: position }),
      ...(keepsRevisions(shape) && { revisions: { ...body.revisions, [stream]: revision } }),
    },
    ...(linksRevision(shape) && { linked: { ...folding.linked, [stream]: revision } }),
    ...(linksNow && { links: [...new Set([...(folding.links ?? []), stream])] }),
  }
}

function keepsRevisions({ keyed, holds }: Shape): boolean {
  return keyed === 'by-stream' || holds === 'content'
}

/** Any number of streams make it, and no position says what it holds. */
export function linksRevision(shape: Shape): boolean {
  return shape.lifecycle === 'inline' && !keepsRevisions(shape)
}

/** The writes that store it, the view's own first, guarded by what was loaded; none where nothing was folded. */
export function viewWrites(shape: Shape, folding: Folding): readonly DocumentWrite[] {
  const { key, body, stored, links = [], linked, folded } = folding
  if (!folded) return []
  const guard = guardOf(stored)
  const streams = shape.holds === 'content' ? Object.keys(body.revisions ?? {}) : []
  if (streams.length > limits.documentStreams) {
    const facts = { limit: 'documentStreams', allowed: limits.documentStreams, actual: streams.length }
    const place = `projection "${shape.name}", view ${JSON.stringify(key)}`
    throw new LimitExceeded(facts, `${place}: let it hold 'totals', or fewer streams`)
  }
  return [
    ...putDocument(shape.views, {
      key,
      body,
      ...(stored && hasUnique(shape) && { previous: JSON.parse(stored.text) as ViewBody }),
      ...(streams.length > 0 && { streams }),
      if: guard,
    }),
    ...links.flatMap((stream) => linkWrites(shape, { stream, key, ...(linked && { revision: linked[stream] ?? 0 }) })),
  ]
}

function hasUnique({ views }: Shape): boolean {
  return views.indexes.some(({ unique }) => unique)
}

/** Whoever folds the view writes the link with it, so that nothing but the view guards it. `streams`: as of documents. */
export function linkWrites(shape: Shape, body: LinkBody, streams?: readonly string[]): readonly DocumentWrite[] {
  const { key } = linkKey(shape, body)
  return putDocument(shape.links, { key, body, ...(streams && { streams }), if: { is: 'anything' } })
}

export function linkKey({ links }: Shape, { stream, key }: Pick<LinkBody, 'stream' | 'key'>): DocumentKey {
  return { collection: links.collection, key: derivedId(['link', stream, key]) }
}
