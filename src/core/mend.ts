/**
 * One view made anew from its streams: after a handler was mended, where the view is lost, where one of its streams was
 * forgotten. Of asynchronous totals by a function nobody knows the streams, so the log is read instead.
 */
import type { Background } from './background.ts'
import { deleteDocument } from './document.ts'
import type { Recorded } from './event.ts'
import { FoldFailed, foldAllInTime } from './event-time.ts'
import { logPage, logPages } from './feed.ts'
import { type Folding, foldEvent, viewWrites } from './fold.ts'
import type { Shape } from './projection.ts'
import { eventsOf, linksOf, merged } from './refold.ts'
import type { DocumentWrite } from './storage.ts'

export interface Mending {
  /** As it is stored. */
  readonly stored: Folding
  /** Up to where the log is in the views. */
  readonly position: number
  /** Streams that have events for it and no link yet. */
  readonly unlinked?: readonly string[]
}

/** What takes the view's place, up to where a handler fails. */
export interface Mended {
  readonly writes: readonly DocumentWrite[]
  /** It holds no event, so there is none. */
  readonly gone: boolean
  readonly failed?: { readonly event: Recorded; readonly error: unknown }
}

export async function mend(
  background: Pick<Background, 'reading' | 'storage'>,
  shape: Shape,
  mending: Mending,
): Promise<Mended> {
  const { stored, position } = mending
  const { key } = stored
  const events = eventsFor(background, shape, mending)
  const { folding, failed } = await (shape.latenessMs === undefined ? foldEach : foldByTime)(shape, key, events)
  const told = failed && { failed }
  if (!folding.folded) return { writes: goneWrites(shape, stored), gone: true, ...told }
  // What is held is known by revisions; beyond the position there may be streams that nobody has linked yet.
  const body = { ...folding.body, ...(shape.lifecycle === 'async' && { at: position }) }
  const made = { ...folding, body, ...(stored.stored && { stored: stored.stored }) }
  return { writes: viewWrites(shape, made), gone: false, ...told }
}

type Made = { readonly folding: Folding } & Pick<Mended, 'failed'>

async function foldEach(shape: Shape, key: string, events: AsyncIterable<Recorded>): Promise<Made> {
  let folding: Folding = { key, body: {} }
  for await (const event of events) {
    try {
      folding = foldEvent(shape, folding, event)
    } catch (error) {
      return { folding, failed: { event, error } }
    }
  }
  return { folding }
}

async function foldByTime(shape: Shape, key: string, events: AsyncIterable<Recorded>): Promise<Made> {
  const all: Recorded[] = []
  for await (const event of events) all.push(event)
  const bare: Folding = { key, body: {} }
  try {
    return { folding: foldAllInTime(shape, bare, all) }
  } catch (error) {
    if (!(error instanceof FoldFailed)) throw error
    return { folding: bare, failed: { event: error.event, error: error.cause } }
  }
}

function goneWrites(shape: Shape, { key, body, stored }: Folding): readonly DocumentWrite[] {
  if (stored === undefined) return []
  return deleteDocument(shape.views, { key, previous: body, if: { is: 'version', version: stored.version } })
}

async function* eventsFor(
  { reading, storage }: Pick<Background, 'reading' | 'storage'>,
  shape: Shape,
  { stored: { key }, position, unlinked = [] }: Mending,
): AsyncGenerator<Recorded> {
  const mine = (event: Recorded) => shape.filter.types?.includes(event.type) && shape.keyOf(event) === key
  if (shape.keyed === 'by-function' && shape.holds === 'totals' && shape.lifecycle === 'async') {
    const range = { after: 0, until: position }
    for await (const page of logPages((range) => logPage(reading, shape.filter, range), range)) {
      for (const entry of page) if (!entry.forgotten && !entry.tombstone && mine(entry)) yield entry
    }
    return
  }
  const streams = new Set(unlinked)
  if (shape.keyed === 'by-stream') for (const type of shape.filter.streamTypes ?? []) streams.add(`${type}/${key}`)
  else for await (const { stream } of linksOf(storage, shape, { index: 'key', value: key })) streams.add(stream)
  const each = [...streams].map((stream) => eventsOf({ ...reading, reads: storage }, stream, { after: 0 }))
  for await (const event of merged(each)) {
    if (mine(event)) yield event
  }
}
