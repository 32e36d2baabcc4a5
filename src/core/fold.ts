/**
 * Folding: from view documents and events to view documents. A document says how far it is, by the revision of each of its
 * streams and, of an async view, by position; so an event that it holds already is passed over, and what was split over
 * several commits, or done twice, is in the view once. Where there is no view any more, the document stays and says so.
 */

import { putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import type { Recorded } from './event.ts'
import { limits } from './limits.ts'
import type { Shape } from './projection.ts'
import type { Document, DocumentWrite, Guard, Storage } from './storage.ts'

/** What a view's document holds. */
export interface ViewBody {
  /** What the handlers made; absent where there is no view. */
  readonly view?: object
  /** Of an async view: position of the last event that it holds. */
  readonly at?: number
  /** By stream, the revision of the last event that it holds; not of totals. */
  readonly revisions?: Readonly<Record<string, number>>
}

/** A view between two writes. */
export interface Folding {
  readonly key: string
  readonly body: ViewBody
  /** As it is stored; absent where it is not. */
  readonly stored?: { readonly version: string; readonly body: ViewBody }
}

/** Strongly consistent, in the order of the keys. */
export async function loadViews(storage: Storage, shape: Shape, keys: readonly string[]): Promise<readonly Folding[]> {
  const { collection } = shape.views
  const documents = await storage.getDocuments(keys.map((key) => ({ collection, key })))
  return keys.map((key, index) => {
    const document = documents[index]
    if (document === undefined) return { key, body: {} }
    const body = bodyOf(document)
    return { key, body, stored: { version: document.version, body } }
  })
}

export function bodyOf({ body }: Document): ViewBody {
  return JSON.parse(body) as ViewBody
}

/** The same folding where it holds the event already. Throws what the handler throws. */
export function foldEvent(shape: Shape, folding: Folding, event: Recorded): Folding {
  const { key, body } = folding
  const { stream, revision, position } = event
  if (shape.lifecycle === 'async' && position !== undefined && position <= (body.at ?? 0)) return folding
  if (revision <= (body.revisions?.[stream] ?? 0)) return folding
  const view = shape.fold(body.view, event)
  if (view !== undefined && (typeof view !== 'object' || view === null || Array.isArray(view))) {
    throw new InvalidArgument(
      `projection "${shape.name}", on ${JSON.stringify(event.type)}`,
      'must give an object or undefined',
    )
  }
  const revisions = shape.holds === 'content' ? { ...body.revisions, [stream]: revision } : undefined
  return {
    ...folding,
    key,
    body: {
      ...(view !== undefined && { view }),
      ...(shape.lifecycle === 'async' && position !== undefined && { at: position }),
      ...(revisions && { revisions }),
    },
  }
}

/** The writes that store it, guarded by what was loaded; none where nothing was folded. */
export function viewWrites(shape: Shape, { key, body, stored }: Folding): readonly DocumentWrite[] {
  if (
    stored?.body === body ||
    (stored === undefined && body.revisions === undefined && body.at === undefined && !body.view)
  )
    return []
  const guard: Guard = stored ? { is: 'version', version: stored.version } : { is: 'absent' }
  const streams = Object.keys(body.revisions ?? {})
  if (streams.length > limits.documentStreams) {
    const facts = { limit: 'documentStreams', allowed: limits.documentStreams, actual: streams.length }
    throw new LimitExceeded(
      facts,
      `projection "${shape.name}", view ${JSON.stringify(key)}: let it hold 'totals', or fewer streams`,
    )
  }
  return putDocument(shape.views, {
    key,
    body,
    ...(stored && { previous: stored.body }),
    ...(streams.length > 0 && { streams }),
    if: guard,
  })
}

/** Of the body as it will be stored, so that what is folded on is what another process would read. */
export function asStored(body: ViewBody): ViewBody {
  return JSON.parse(canonicalJson(body)) as ViewBody
}
