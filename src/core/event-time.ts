/**
 * Folding by the events' own time. An event stands at the time that its producer gives it, where that lies no further back
 * from its recording than the projection allows, and not after it; else at its recording. So whatever is recorded from now
 * on stands no further back than now less that lateness: what stands before is settled, and kept as a state of its own; what
 * is younger is read from the log again, never kept. That state saves time and decides nothing: a view is what all events in
 * their order make it, and one that comes too late for the state has it made anew.
 */
import type { Recorded } from './event.ts'
import { type Folding, foldEvent, type Settled, type ViewBody } from './fold.ts'
import type { Shape } from './projection.ts'
import { parseInstant } from './time.ts'

/** Where an event stands, in epoch milliseconds. */
export function standsAt({ time, meta }: Pick<Recorded, 'time' | 'meta'>, latenessMs: number): number {
  const recorded = Date.parse(time)
  const occurred = instantOf(meta?.occurredAt)
  return occurred !== undefined && occurred <= recorded && occurred >= recorded - latenessMs ? occurred : recorded
}

/** Producers write what they like; what is no instant counts as not said. */
function instantOf(text: string | undefined): number | undefined {
  try {
    return text === undefined ? undefined : parseInstant(text, 'occurredAt')
  } catch {
    return undefined
  }
}

/** What a stream has recorded after one revision, up to and with another. */
export type ReadStream = (
  stream: string,
  range: { readonly after: number; readonly until: number },
) => AsyncIterable<Recorded>

/**
 * The view with these events of its key, which come after those that it holds; the same folding where it holds them all.
 * Throws `FoldFailed` where a handler throws.
 */
export async function foldInTime(
  shape: Shape,
  folding: Folding,
  { events, read }: { readonly events: readonly Recorded[]; readonly read: ReadStream },
): Promise<Folding> {
  const { body } = folding
  const { latenessMs = 0 } = shape
  const news = events.filter(({ stream, revision }) => revision > (body.revisions?.[stream] ?? 0))
  if (news.length === 0) return folding
  const revisions: Record<string, number> = { ...body.revisions }
  for (const { stream, revision } of news) revisions[stream] = Math.max(revision, revisions[stream] ?? 0)
  const settled = areLate(news, body, latenessMs) ? nothing : (body.settled ?? nothing)
  const young: Recorded[] = []
  for (const [stream, until] of Object.entries(revisions)) {
    for await (const event of read(stream, { after: settled.revisions[stream] ?? 0, until })) {
      if (isOf(shape, folding.key, event)) young.push(event)
    }
  }
  const at = Math.max(body.at ?? 0, ...news.map(({ position = 0 }) => position))
  return settle(shape, { ...folding, body: { ...(at > 0 && { at }), revisions } }, { settled, young })
}

/** The view that these events of its key make from nothing, in whatever order they come. */
export function foldAllInTime(shape: Shape, folding: Folding, events: readonly Recorded[]): Folding {
  const revisions: Record<string, number> = {}
  for (const { stream, revision } of events) revisions[stream] = Math.max(revision, revisions[stream] ?? 0)
  const at = Math.max(0, ...events.map(({ position = 0 }) => position))
  if (events.length === 0) return folding
  return settle(shape, { ...folding, body: { ...(at > 0 && { at }), revisions } }, { settled: nothing, young: events })
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

export const nothing: Settled = { before: Number.MIN_SAFE_INTEGER, revisions: {} }

function isOf(shape: Shape, key: string, event: Recorded): boolean {
  return (shape.filter.types?.includes(event.type) ?? false) && shape.keyOf(event) === key
}

/**
 * Folds what is settled into the state that is kept, and the rest over it into the view; what stands before is in that state
 * already. Settled is what the newest event has left behind, or `now` in epoch milliseconds. Throws `FoldFailed`.
 */
export function settle(
  shape: Shape,
  folding: Folding,
  {
    settled,
    young,
    now = Number.MIN_SAFE_INTEGER,
  }: { readonly settled: Settled; readonly young: readonly Recorded[]; readonly now?: number | undefined },
): Folding {
  const { latenessMs = 0 } = shape
  const placed = young
    .map((event) => ({ event, at: standsAt(event, latenessMs) }))
    .filter(({ at }) => at >= settled.before)
    .sort(inOrder)
  const newest = young.reduce((latest, { time }) => Math.max(latest, Date.parse(time)), now)
  const before = Math.max(settled.before, newest - latenessMs)
  const first = placed.findIndex(({ at }) => at >= before)
  const split = first < 0 ? placed.length : first
  const fold = (view: object | undefined, part: typeof placed) =>
    part.reduce((current, { event }) => viewOf(shape, current, event), view)
  const state = fold(settled.view, placed.slice(0, split))
  const revisions: Record<string, number> = { ...settled.revisions }
  for (const { stream, revision, time } of young) {
    // Those between that stand later are older than nothing that is still to come, and are read again.
    if (Date.parse(time) < before) revisions[stream] = Math.max(revision, revisions[stream] ?? 0)
  }
  const kept = { ...(state && { view: state }), before, revisions }
  // A handler may change the object that it was given, so the state is apart from what is folded over it.
  const view = fold((JSON.parse(JSON.stringify(kept)) as Settled).view, placed.slice(split))
  const body: ViewBody = { ...folding.body, ...(view && { view }), settled: kept }
  return { ...folding, folded: true, body }
}

/** By where they stand; then, of one stream in its order, of several by their names, so that there is one order. */
function inOrder(a: { event: Recorded; at: number }, b: { event: Recorded; at: number }): number {
  if (a.at !== b.at) return a.at - b.at
  if (a.event.stream === b.event.stream) return a.event.revision - b.event.revision
  return a.event.stream < b.event.stream ? -1 : 1
}

/** One handler's step, checked as any other; a failure says at which event, for the order is not that of the log. */
function viewOf(shape: Shape, view: object | undefined, event: Recorded): object | undefined {
  try {
    return foldEvent(shape, { key: '', body: view ? { view } : {} }, event).body.view
  } catch (cause) {
    throw new FoldFailed(event, cause)
  }
}

export class FoldFailed extends Error {
  readonly event: Recorded
  constructor(event: Recorded, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.event = event
  }
}
