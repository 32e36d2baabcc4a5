/**
 * Live views of one stream that keep snapshots: such a view is a fold, as a decider is, and its snapshots are taken, found and
 * dropped as those are. One by event time keeps what is settled, and reads the younger events again each time.
 */
import { type Loads, load } from './decider.ts'
import { isStoreError } from './errors.ts'
import type { Recorded } from './event.ts'
import { areLate, nothing } from './event-time.ts'
import { foldEvent, type ViewBody } from './fold.ts'
import { checkStreamId } from './name.ts'
import type { Shape } from './projection.ts'
import type { Snapshotting } from './snapshots.ts'
import type { Clock } from './time.ts'
import { foldTimeline, timelineOf, withEvents } from './timeline.ts'

interface LiveState extends ViewBody {
  /** By event time, what was read and may stand behind what is settled. */
  readonly young?: Recorded[]
}

/** Those of the shapes that keep snapshots, as what takes them sees them. */
export function snapshottingOf(shapes: readonly Shape[], clock: Clock): readonly Snapshotting[] {
  return shapes.flatMap((shape) => (shape.snapshot === undefined ? [] : [liveFold(shape, clock)]))
}

/** From its newest snapshot, where one holds. */
export async function liveView(loads: Loads, shape: Shape, id: string): Promise<object | undefined> {
  checkStreamId(id, 'id')
  const [type] = shape.filter.streamTypes ?? []
  try {
    const { state } = await load(loads, `${type}/${id}`, liveFold(shape))
    return (shape.latenessMs === undefined ? state : inTime(shape, state)).view
  } catch (error) {
    if (isStoreError(error, 'stream-forgotten')) return undefined
    throw error
  }
}

function liveFold(shape: Shape, clock?: Clock) {
  const { snapshot, filter, latenessMs } = shape
  const isOf = ({ tombstone, type }: Recorded) => !tombstone && filter.types?.includes(type) === true
  const policy = snapshot && { snapshot }
  if (latenessMs === undefined) {
    return {
      ...policy,
      initialState: (): LiveState => ({}),
      evolve: (state: LiveState, event: Recorded): LiveState =>
        isOf(event) ? foldEvent(shape, { key: '', body: state }, event).body : state,
    }
  }
  return {
    ...policy,
    initialState: (): LiveState => ({}),
    evolve({ young = [], ...state }: LiveState, event: Recorded): LiveState {
      if (isOf(event)) young.push(event)
      return { ...state, young }
    },
    stillHolds: ({ young = [], ...kept }: LiveState) => !areLate(young, kept, latenessMs),
    keeps(state: LiveState) {
      const { settled = nothing, revisions } = inTime(shape, state, clock?.())
      const revision = Math.max(0, ...Object.values(settled.revisions))
      const last = state.young?.find((event) => event.revision === revision)
      return last && { state: { settled, revisions }, last }
    },
  }
}

function inTime(shape: Shape, { settled = nothing, young = [], ...body }: LiveState, now?: number): ViewBody {
  const revisions: Record<string, number> = { ...body.revisions }
  for (const { stream, revision } of young) revisions[stream] = Math.max(revision, revisions[stream] ?? 0)
  const { view, timeline } = foldTimeline(shape, withEvents(timelineOf(settled), young, shape.latenessMs ?? 0), now)
  return { ...(view && { view }), revisions, settled: timeline.settled }
}
