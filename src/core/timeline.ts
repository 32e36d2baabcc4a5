/**
 * Timelines: the young events of a view in the order of their own time, over what is settled. What is still to come stands
 * somewhere between them; so the view is marked here and there, and made anew only from the mark before whatever has come.
 */
import type { Recorded } from './event.ts'
import { foldEvent, type Settled, type ViewBody } from './fold.ts'
import { limits } from './limits.ts'
import type { Shape } from './projection.ts'
import { parseInstant } from './time.ts'

export interface Timeline {
  readonly settled: Settled
  /** What stands at `settled.before` or behind it, in order. */
  readonly placed: readonly Placed[]
  /** What was recorded then or later: these, and what stands before. */
  readonly young: readonly Placed[]
  readonly marks: readonly Mark[]
}

interface Placed {
  readonly stream: string
  readonly revision: number
  /** Where it stands, in epoch milliseconds. */
  readonly at: number
  readonly recorded: number
  /** For each time after the first, for a handler may change what it is given. */
  readonly text: string
  fresh?: Recorded | undefined
}

/** The view after so many of the placed events: as a text, for a handler may change the object that it is given. */
interface Mark {
  readonly count: number
  readonly view: string | undefined
}

export const nothing: Settled = { before: Number.MIN_SAFE_INTEGER, revisions: {} }

export function timelineOf(settled: Settled): Timeline {
  return { settled, placed: [], young: [], marks: [{ count: 0, view: JSON.stringify(settled.view) }] }
}

/** What stands before what is settled is in it already. */
export function withEvents(timeline: Timeline, events: readonly Recorded[], latenessMs: number): Timeline {
  const { settled, placed, young, marks } = timeline
  const more = events.map((event): Placed => {
    const { stream, revision, time } = event
    const place = { at: standsAt(event, latenessMs), recorded: Date.parse(time) }
    return { stream, revision, ...place, text: JSON.stringify(event), fresh: event }
  })
  const standing = more.filter(({ at }) => at >= settled.before).sort(inOrder)
  const [first] = standing
  let kept = placed.length
  for (let last = placed[kept - 1]; first && last && inOrder(last, first) > 0; last = placed[kept - 1]) kept--
  return {
    settled,
    placed: [...placed.slice(0, kept), ...[...placed.slice(kept), ...standing].sort(inOrder)],
    young: [...young, ...more.filter(({ recorded }) => recorded >= settled.before)],
    marks: marks.filter(({ count }) => count <= kept),
  }
}

export interface Folded {
  readonly view: object | undefined
  /** Of which as much is settled as can be. */
  readonly timeline: Timeline
}

/** Settled is what the newest event has left behind, or `now` in epoch milliseconds. Throws `FoldFailed`. */
export function foldTimeline(shape: Shape, { settled, placed, young, marks }: Timeline, now?: number): Folded {
  const { latenessMs = 0 } = shape
  const newest = young.reduce((latest, { recorded }) => Math.max(latest, recorded), now ?? Number.MIN_SAFE_INTEGER)
  const before = Math.max(settled.before, newest - latenessMs)
  const first = placed.findIndex(({ at }) => at >= before)
  const split = first < 0 ? placed.length : first
  const atSplit = JSON.stringify(viewAfter(shape, { placed, marks }, split).view)
  const base: Mark = { count: split, view: atSplit }
  const behind = viewAfter(
    shape,
    { placed, marks: [base, ...marks.filter(({ count }) => count > split)] },
    placed.length,
  )
  const revisions: Record<string, number> = { ...settled.revisions }
  for (const { recorded, stream, revision } of young) {
    // Those between that stand later are older than nothing that is still to come, and are read again.
    if (recorded < before) revisions[stream] = Math.max(revision, revisions[stream] ?? 0)
  }
  return {
    view: behind.view,
    timeline: {
      settled: { ...parsed(atSplit), before, revisions },
      placed: placed.slice(split),
      young: young.filter(({ recorded }) => recorded >= before),
      marks: behind.marks.map(({ count, view }) => ({ count: count - split, view })),
    },
  }
}

/** From the last mark before, and with new ones on the way. */
function viewAfter(
  shape: Shape,
  { placed, marks }: Pick<Timeline, 'placed' | 'marks'>,
  count: number,
): { readonly view: object | undefined; readonly marks: readonly Mark[] } {
  const from = marks.findLast((mark) => mark.count <= count) ?? { count: 0, view: undefined }
  const all = [...marks]
  let { view } = parsed(from.view)
  let marked = all.at(-1)?.count ?? 0
  for (let index = from.count; index < count; index++) {
    view = viewOf(shape, view, placed[index] as Placed)
    if (index + 1 < marked + limits.markEvents) continue
    marked = index + 1
    all.push({ count: marked, view: JSON.stringify(view) })
  }
  return { view, marks: all }
}

function parsed(text: string | undefined): { readonly view?: object } {
  return text === undefined ? {} : { view: JSON.parse(text) as object }
}

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

/** By where they stand; then, of one stream in its order, of several by their names, so that there is one order. */
function inOrder(a: Placed, b: Placed): number {
  if (a.at !== b.at) return a.at - b.at
  if (a.stream === b.stream) return a.revision - b.revision
  return a.stream < b.stream ? -1 : 1
}

/** One handler's step, checked as any other; a failure says at which event, for the order is not that of the log. */
function viewOf(shape: Shape, view: object | undefined, placed: Placed): object | undefined {
  const event = placed.fresh ?? (JSON.parse(placed.text) as Recorded)
  placed.fresh = undefined
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

/** The timelines that a runner has folded last. Each is good for the view that was written with it, and for no other. */
export interface RecentTimelines {
  /** The one that was folded up to the same revisions. */
  get(key: string, body: Pick<ViewBody, 'revisions'>): Timeline | undefined
  /** Nothing of it is to be remembered. */
  drop(key: string): void
  keep(key: string, kept: { readonly timeline: Timeline; readonly revisions: Readonly<Record<string, number>> }): void
}

export function createRecentTimelines(): RecentTimelines {
  interface Kept {
    readonly timeline: Timeline
    readonly revisions: Readonly<Record<string, number>>
    readonly characters: number
  }
  /** The one that was folded longest ago first. */
  const recent = new Map<string, Kept>()
  let characters = 0

  function drop(key: string): void {
    characters -= recent.get(key)?.characters ?? 0
    recent.delete(key)
  }

  return {
    get(key, { revisions = {} }) {
      const kept = recent.get(key)
      const names = Object.keys(revisions)
      const same = names.length === Object.keys(kept?.revisions ?? {}).length
      return kept && same && names.every((name) => kept.revisions[name] === revisions[name]) ? kept.timeline : undefined
    },
    drop,
    keep(key, { timeline, revisions }) {
      drop(key)
      const { young, marks } = timeline
      let size = marks.reduce((sum, { view }) => sum + (view?.length ?? 0), 0)
      for (const { text } of young) size += text.length
      recent.set(key, { timeline, revisions, characters: size })
      characters += size
      for (const oldest of recent.keys()) {
        if (characters <= limits.youngCharacters) break
        drop(oldest)
      }
    },
  }
}
