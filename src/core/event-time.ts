/**
 * Folding by the events' own time. An event stands at the time that its producer gives it, where that lies no further back
 * from its recording than the projection allows, and not after it; else at its recording. So whatever is recorded from now
 * on stands no further back than now less that lateness: what stands before is settled, and kept as a state of its own; what
 * is younger is never kept but in memory, and read from the log again. That state saves time and decides nothing: a view is what all events in
 * their order make it, and one that comes too late for the state has it made anew.
 */
import type { Recorded } from './event.ts'
import type { Folding, Settled, ViewBody } from './fold.ts'
import type { Shape } from './projection.ts'
import {
  type Folded,
  foldTimeline,
  nothing,
  type RecentTimelines,
  standsAt,
  timelineOf,
  withEvents,
} from './timeline.ts'

export { FoldFailed, nothing, standsAt } from './timeline.ts'

/** What a stream has recorded after one revision, up to and with another. */
export type ReadStream = (
  stream: string,
  range: { readonly after: number; readonly until: number },
) => AsyncIterable<Recorded>

export interface FoldInTime {
  readonly events: readonly Recorded[]
  readonly read: ReadStream
  /** Whose timelines need not be read again. */
  readonly recent?: RecentTimelines
}

/**
 * The view with these events of its key, which come after those that it holds; the same folding where it holds them all.
 * Throws `FoldFailed` where a handler throws.
 */
export async function foldInTime(
  shape: Shape,
  folding: Folding,
  { events, read, recent }: FoldInTime,
): Promise<Folding> {
  const { body } = folding
  const { latenessMs = 0 } = shape
  const news = events.filter(({ stream, revision }) => revision > (body.revisions?.[stream] ?? 0))
  if (news.length === 0) return folding
  const revisions: Record<string, number> = { ...body.revisions }
  for (const { stream, revision } of news) revisions[stream] = Math.max(revision, revisions[stream] ?? 0)
  const at = Math.max(body.at ?? 0, ...news.map(({ position = 0 }) => position))
  const settled = areLate(news, body, latenessMs) ? nothing : (body.settled ?? nothing)
  const known = recent?.get(folding.key, body)
  const timeline =
    known && known.settled.before === settled.before
      ? withEvents(known, news, latenessMs)
      : withEvents(timelineOf(settled), await readYoung(shape, folding.key, { settled, revisions, read }), latenessMs)
  const folded = foldTimeline(shape, timeline)
  recent?.keep(folding.key, { timeline: folded.timeline, revisions })
  return withView(folding, { ...(at > 0 && { at }), revisions }, folded)
}

interface Reading extends Pick<FoldInTime, 'read'> {
  readonly settled: Settled
  /** Up to which. */
  readonly revisions: Readonly<Record<string, number>>
}

async function readYoung(shape: Shape, key: string, { settled, revisions, read }: Reading): Promise<Recorded[]> {
  const young: Recorded[] = []
  for (const [stream, until] of Object.entries(revisions)) {
    for await (const event of read(stream, { after: settled.revisions[stream] ?? 0, until })) {
      if (isOf(shape, key, event)) young.push(event)
    }
  }
  return young
}

/** The view that these events of its key make from nothing, in whatever order they come. */
export function foldAllInTime(shape: Shape, folding: Folding, events: readonly Recorded[]): Folding {
  const revisions: Record<string, number> = {}
  for (const { stream, revision } of events) revisions[stream] = Math.max(revision, revisions[stream] ?? 0)
  const at = Math.max(0, ...events.map(({ position = 0 }) => position))
  if (events.length === 0) return folding
  const timeline = withEvents(timelineOf(nothing), events, shape.latenessMs ?? 0)
  return withView(folding, { ...(at > 0 && { at }), revisions }, foldTimeline(shape, timeline))
}

/** Whether one of these stands before what is settled and is not in it: whoever recorded it had a clock that was behind. */
export function areLate(
  events: readonly Recorded[],
  { settled = nothing, revisions = {} }: Pick<ViewBody, 'settled' | 'revisions'>,
  latenessMs: number,
): boolean {
  const isNews = ({ stream, revision }: Recorded) => revision > (revisions[stream] ?? 0)
  return events.some((event) => isNews(event) && standsAt(event, latenessMs) < settled.before)
}

function isOf(shape: Shape, key: string, event: Recorded): boolean {
  return (shape.filter.types?.includes(event.type) ?? false) && shape.keyOf(event) === key
}

function withView(folding: Folding, body: Pick<ViewBody, 'at' | 'revisions'>, { view, timeline }: Folded): Folding {
  return { ...folding, folded: true, body: { ...body, ...(view && { view }), settled: timeline.settled } }
}
