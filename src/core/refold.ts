/**
 * Views made again from their streams: where a view lacks earlier events, where one of its streams was forgotten, where it
 * is read as it was. Streams are merged in the log's order, as far as it is known.
 */
import { errorOf, type Making } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { allIndexed, deleteDocument } from './document.ts'
import { isStorageFault, isStoreError } from './errors.ts'
import type { AnyEvent, Recorded } from './event.ts'
import { FoldFailed, foldAllInTime, foldInTime } from './event-time.ts'
import { type Folding, foldEvent, type LinkBody, linkWrites, loadViews, viewWrites } from './fold.ts'
import { type Forms, formed } from './form.ts'
import { limits } from './limits.ts'
import type { Shape } from './projection.ts'
import { failedAt, ProjectionMissing } from './projection-errors.ts'
import { isOf, type KnownStates, keepersIn } from './projection-state.ts'
import { eventReader } from './read.ts'
import type { DocumentWrite, RevisionRange, Storage } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'

export interface Refolding extends Forms {
  readonly reads: Pick<Storage, 'readStream'>
  readonly shape: Shape
}

/** The view with those events of the stream that come before `event` and that it does not hold yet. */
export async function foldMissing(refolding: Refolding, folding: Folding, event: Recorded): Promise<Folding> {
  const { stream, revision } = event
  const held = folding.body.revisions?.[stream] ?? folding.linked?.[stream] ?? 0
  if (revision <= held + 1) return folding
  return foldAll(refolding.shape, folding, eventsOf(refolding, stream, { after: held, until: revision - 1 }))
}

/** The view of a key as its streams make it from nothing. */
export function foldStreams(
  refolding: Refolding,
  key: string,
  streams: readonly string[],
  range: Pick<RevisionRange, 'until' | 'asOf'> = {},
): Promise<Folding> {
  const each = streams.map((stream) => eventsOf(refolding, stream, { after: 0, ...range }))
  return foldAll(refolding.shape, { key, body: {} }, merged(each))
}

/**
 * Those of the events that belong to the view, in the order in which they come or that the projection asks for. Throws
 * `ProjectionFailed` where a handler does.
 */
export async function foldAll(shape: Shape, folding: Folding, events: AsyncIterable<Recorded>): Promise<Folding> {
  const all: Recorded[] = []
  let folded = folding
  for await (const event of events) {
    try {
      if (!shape.filter.types?.includes(event.type) || shape.keyOf(event) !== folding.key) continue
      if (shape.latenessMs !== undefined) all.push(event)
      else folded = foldEvent(shape, folded, event)
    } catch (error) {
      throw failedAt(shape, event, error)
    }
  }
  if (shape.latenessMs === undefined) return folded
  try {
    return foldAllInTime(shape, folding, all)
  } catch (error) {
    throw error instanceof FoldFailed ? failedAt(shape, error.event, error.cause) : error
  }
}

/** The view with these events of its key, by the projection's own order; of what is settled nothing is read again. */
export function foldOn(refolding: Refolding, folding: Folding, events: readonly Recorded[]): Promise<Folding> {
  return foldInTime(refolding.shape, folding, { events, read: (...range) => eventsOf(refolding, ...range) })
}

/** All events of a range; of a forgotten stream none. */
export async function* eventsOf(
  refolding: Omit<Refolding, 'shape'>,
  stream: string,
  range: Pick<RevisionRange, 'after' | 'until' | 'asOf'>,
): AsyncGenerator<Recorded> {
  const read = eventReader()
  for (let { after } = range; ; ) {
    const asked = { ...range, after, direction: 'forwards', limit: limits.pageRecords } as const
    const { records, more } = await refolding.reads.readStream(stream, asked)
    const live = records.filter(({ state }) => state !== 'tombstone')
    const events = await formed<AnyEvent, Recorded>(refolding, live, read).catch((error) => {
      if (isStoreError(error, 'stream-forgotten')) return undefined
      throw error
    })
    if (events === undefined) return
    yield* events
    after = records.at(-1)?.revision ?? after
    if (!more || records.length === 0) return
  }
}

/** In order of position; what has none yet comes last. Of one stream the order stays. */
export async function* merged(streams: readonly AsyncGenerator<Recorded>[]): AsyncGenerator<Recorded> {
  const heads = await Promise.all(streams.map(async (events) => ({ events, next: await events.next() })))
  while (true) {
    const open = heads.filter(({ next }) => !next.done)
    const [first, ...others] = open
    if (first === undefined) return
    const nearest = others.reduce(
      (best, one) => (placeOf(one.next.value) < placeOf(best.next.value) ? one : best),
      first,
    )
    yield nearest.next.value
    nearest.next = await nearest.events.next()
  }
}

function placeOf({ position = Number.POSITIVE_INFINITY }: Recorded): number {
  return position
}

export interface Forgets extends Forms {
  readonly storage: Storage
  readonly queue: Pick<CommitQueue, 'add'>
  readonly making: Making
  readonly shapes: readonly Shape[]
  readonly states: KnownStates
}

/**
 * Folds the inline views that hold content of a closed stream from the streams that remain, and hands the links over to
 * the erasing of documents, which comes after this and takes what holds that stream alone. Can be repeated. Throws
 * `ProjectionMissing` where it is not known here what the views are.
 */
export async function forgetInViews(forgets: Forgets, stream: string): Promise<void> {
  const { shapes, states, upcasters } = forgets
  const kept = [...(await states.refreshed()).values()].flatMap((state) => keepersIn(state, shapes, upcasters))
  const missing = kept.find((keeper) => keeper.folds && keeper.shape === undefined && isOf(keeper, stream))
  if (missing) throw new ProjectionMissing({ projection: missing.state.state.name, version: missing.version })
  for (const shape of shapes) await refoldViews(forgets, shape, { stream, how: 'without' })
}

/**
 * Folds the inline views of a projection that hold content of a stream from all of their streams, for it reads otherwise by now.
 * Can be repeated. False where a handler does not take it as it reads now: what it made is empty from then on.
 */
export function foldViewsAnew(forgets: Forgets, shape: Shape, stream: string): Promise<boolean> {
  return refoldViews(forgets, shape, { stream, how: 'with' })
}

interface Refold {
  readonly stream: string
  readonly how: 'with' | 'without'
}

async function refoldViews(forgets: Forgets, shape: Shape, { stream, how }: Refold): Promise<boolean> {
  if (shape.lifecycle !== 'inline' || !isOf(shape.filter, stream)) return true
  // Totals hold nothing of what an event was.
  if (how === 'with' && shape.holds !== 'content') return true
  if (shape.keyed === 'by-stream') {
    const key = stream.slice(stream.indexOf('/') + 1)
    return shape.holds !== 'content' || refoldView(forgets, shape, { stream, key, how })
  }
  let whole = true
  for await (const link of linksOf(forgets.storage, shape, { index: 'stream', value: stream })) {
    if (!(await refoldView(forgets, shape, { ...link, how }))) whole = false
  }
  return whole
}

/**
 * Deletes inline views that hold nothing but the stream, for the commit that closes it, so that no reader meets them afterwards.
 * Of very many only the first; the others go when their turn comes.
 */
export async function deletesOfViews(forgets: Forgets, stream: string): Promise<readonly DocumentWrite[]> {
  const { storage, shapes, states, upcasters } = forgets
  const kept = [...(await states.current()).values()].flatMap((state) => keepersIn(state, shapes, upcasters))
  const writes: DocumentWrite[] = []
  for (const { shape } of kept) {
    if (shape === undefined || shape.holds !== 'content' || !isOf(shape.filter, stream)) continue
    const keys: string[] = []
    if (shape.keyed === 'by-stream') keys.push(stream.slice(stream.indexOf('/') + 1))
    else {
      for await (const { key } of linksOf(storage, shape, { index: 'stream', value: stream })) {
        if (keys.push(key) >= limits.forgetViews) break
      }
    }
    for (const { key, body, stored } of await loadViews(storage, shape, keys)) {
      const streams = Object.keys(body.revisions ?? {})
      if (stored === undefined || writes.length >= limits.forgetViews || streams.some((one) => one !== stream)) continue
      const guard = { is: 'version', version: stored.version } as const
      writes.push(...deleteDocument(shape.views, { key, previous: body, if: guard }))
    }
  }
  return writes
}

/** Links of a stream, or of a view's key. */
export async function* linksOf(
  storage: Pick<Storage, 'queryDocuments'>,
  { links }: Shape,
  { index, value }: { readonly index: 'stream' | 'key'; readonly value: string },
): AsyncGenerator<LinkBody> {
  for await (const { body } of allIndexed(storage, links, { index, equals: [value] }))
    yield JSON.parse(body) as LinkBody
}

async function refoldView(forgets: Forgets, shape: Shape, { how, ...link }: LinkBody & Refold): Promise<boolean> {
  const { storage, queue, making, archived, upcasters, catalogue } = forgets
  const { stream, key } = link
  for (let tries = 1; ; tries++) {
    const [loaded] = await loadViews(storage, shape, [key])
    const { stored, body = {} } = loaded ?? {}
    const others = Object.keys(body.revisions ?? {}).filter((other) => other !== stream)
    const streams = how === 'with' ? [...others, stream] : others
    const writes: DocumentWrite[] = []
    let whole = true
    if (stored && streams.length > 0 && body.revisions?.[stream] !== undefined) {
      const refolding = { reads: storage, archived, upcasters, catalogue, shape }
      const folding = await foldStreams(refolding, key, streams).catch((error): Folding | undefined => {
        if (isStorageFault(error)) throw error
        // A view that cannot be without the stream goes with it; with it as it reads now, there is none, whatever handlers say.
        return how === 'without' ? undefined : emptied({ key, body })
      })
      if (folding) writes.push(...viewWrites(shape, { ...folding, links: [], stored, folded: true }))
      whole = how === 'without' || folding?.body.view !== undefined || body.view === undefined
    }
    if (how === 'without' && shape.keyed === 'by-function') writes.push(...linkWrites(shape, link, [stream]))
    if (writes.length === 0) return whole
    const outcome = await queue.add({ id: making.newId(), appends: [], documents: writes })
    if (outcome.outcome === 'committed') return whole
    if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
}

/** There is no view any more; what comes is folded on nothing. */
export function emptied(folding: Folding): Folding {
  const { revisions, at } = folding.body
  return { ...folding, folded: true, body: { ...(at !== undefined && { at }), ...(revisions && { revisions }) } }
}
