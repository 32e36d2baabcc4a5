/** One view of a batch: folded over all of its events at once, and the writes that store it. */
import { InvalidArgument, isStorageFault } from './errors.ts'
import type { Recorded } from './event.ts'
import { FoldFailed, type FoldInTime, foldInTime } from './event-time.ts'
import { type Folding, foldEvent, foldingOf, linksRevision, viewWrites } from './fold.ts'
import type { Shape } from './projection.ts'
import type { DocumentWrite } from './storage.ts'

/** `writes` hold all events up to where a handler failed, or what it made cannot be kept. */
export interface FoldedEntity {
  readonly key: string
  readonly writes: readonly DocumentWrite[]
  readonly failed?: { readonly event: Recorded; readonly error: unknown }
}

/** Events that the view holds already are passed over. */
export function foldEntity(shape: Shape, loaded: Folding, events: readonly Recorded[]): FoldedEntity {
  const { key } = loaded
  try {
    return { key, writes: viewWrites(shape, foldEvents(shape, loaded, events)) }
  } catch {
    return foldUpTo(shape, loaded, events)
  }
}

/** As its events come by their own time; where that fails nobody knows at which. */
export async function foldEntityInTime(shape: Shape, loaded: Folding, folded: FoldInTime): Promise<FoldedEntity> {
  const { key } = loaded
  try {
    return { key, writes: viewWrites(shape, await foldInTime(shape, loaded, folded)) }
  } catch (error) {
    if (error instanceof FoldFailed) return { key, writes: [], failed: { event: error.event, error: error.cause } }
    const [event] = folded.events
    if (event === undefined || isStorageFault(error)) throw error
    return { key, writes: [], failed: { event, error } }
  }
}

/** Says at which event it fails. From what is stored, for a handler may have changed the object that it was given. */
function foldUpTo(shape: Shape, { key, stored, ...loaded }: Folding, events: readonly Recorded[]): FoldedEntity {
  let folding: Folding = { ...loaded, ...foldingOf(key, stored && { version: stored.version, body: stored.text }) }
  let writes: readonly DocumentWrite[] = []
  for (const event of events) {
    try {
      folding = foldEvent(shape, folding, event)
      writes = viewWrites(shape, folding)
    } catch (error) {
      return { key, writes, failed: { event, error } }
    }
  }
  return { key, writes }
}

/** As `foldEvent` does one after the other, but what it makes for each event is made once. */
export function foldEvents(shape: Shape, loaded: Folding, events: readonly Recorded[]): Folding {
  if (linksRevision(shape)) return events.reduce((folding, event) => foldEvent(shape, folding, event), loaded)
  const { revisions: held = {}, at: heldAt = 0 } = loaded.body
  const keeps = shape.keyed === 'by-stream' || shape.holds === 'content'
  const revisions: Record<string, number> = { ...held }
  let { view } = loaded.body
  let at = heldAt
  let folded = false
  for (const event of events) {
    const { stream, revision, position = 0 } = event
    if (keeps ? revision <= (revisions[stream] ?? 0) : position <= heldAt) continue
    view = shape.fold(view, event)
    if (view !== undefined && (typeof view !== 'object' || view === null || Array.isArray(view))) {
      const place = `projection "${shape.name}", on ${JSON.stringify(event.type)}`
      throw new InvalidArgument(place, 'must give an object or undefined')
    }
    if (keeps) revisions[stream] = revision
    if (position > at) at = position
    folded = true
  }
  if (!folded) return loaded
  const streams = Object.keys(revisions)
  const links = shape.keyed === 'by-function' && keeps ? streams.filter((stream) => held[stream] === undefined) : []
  return {
    ...loaded,
    folded: true,
    body: {
      ...(view !== undefined && { view }),
      ...(shape.lifecycle === 'async' && at > 0 && { at }),
      ...(keeps && { revisions }),
    },
    ...(links.length > 0 && { links }),
  }
}
