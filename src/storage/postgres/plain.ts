/** A batch of plain appends in the columns that `append_plain_1` takes, and what it answers as outcomes. */
import { streamTypeOf } from '../../core/name.ts'
import type { Commit, CommitOutcome, PreparedEvent, StreamAppend } from '../../core/storage.ts'
import { bytesArray, intArray, textArray } from './binary-array.ts'
import { documentValues, gatherDocuments, type Places } from './plain-documents.ts'

/** A stream of the batch. What is counted begins at 1. */
interface Stream {
  readonly number: number
  /** The revision that it must be at before the batch; `any`, or `exists`. */
  required: number
  /** Of the whole batch. */
  events: number
  lastEvent: number
}

const any = -1
const exists = -2

interface Kind {
  readonly number: number
  readonly streamType: string
  readonly type: string
}

interface Event {
  readonly prepared: PreparedEvent
  readonly stream: Stream
  readonly kind: Kind
  /** Its revision, counted from where the stream was before the batch. */
  readonly step: number
}

/** Where an append ends: in its stream, counted likewise, and in the batch. */
interface End {
  readonly append: StreamAppend
  readonly stream: Stream
  readonly step: number
  readonly event: number
}

interface Gathered {
  readonly streams: Map<string, Stream>
  readonly kinds: Map<string, Kind>
  readonly events: Event[]
}

export interface PlainBatch {
  readonly values: readonly unknown[]
  /** Whether there are any among the values. */
  readonly documents: boolean
  outcomesOf(answer: readonly number[]): readonly CommitOutcome[]
}

/** Nothing where one of the commits is more than events for streams and documents, or cannot pass whatever the store holds. */
export function plainBatchOf(commits: readonly Commit[], now: number): PlainBatch | undefined {
  const gathered: Gathered = { streams: new Map(), kinds: new Map(), events: [] }
  const ends: (readonly End[])[] = []
  const places: Places = new Map()
  for (const commit of commits) {
    const { appends, condition } = commit
    if (condition !== undefined || appends.length === 0 || !gatherDocuments(places, commit)) return undefined
    const itsEnds: End[] = []
    for (const append of appends) {
      const end = gather(append, gathered)
      if (end === undefined) return undefined
      itsEnds.push(end)
    }
    ends.push(itsEnds)
  }
  const ids = new Set(gathered.events.map(({ prepared }) => prepared.id))
  if (ids.size < gathered.events.length) return undefined
  return {
    values: [...valuesOf(gathered), now, ...(places.size > 0 ? documentValues(places) : [])],
    documents: places.size > 0,
    outcomesOf: ([head = 0, time = 0, ...revisions]) =>
      ends.map((itsEnds) => ({
        outcome: 'committed',
        repeated: false,
        streams: itsEnds.map(({ append: { stream: name, events }, stream, step, event }) => {
          const last = (revisions[stream.number - 1] ?? 0) + step
          return { stream: name, first: last - events.length + 1, last, time, position: head + event }
        }),
      })),
  }
}

function gather(append: StreamAppend, { streams, kinds, events }: Gathered): End | undefined {
  const { stream: name, expected, at, tombstone } = append
  if (tombstone || append.events.length === 0 || (expected === 'exists' && at === 0)) return undefined
  const known = streams.get(name)
  const stream = known ?? { number: streams.size + 1, required: any, events: 0, lastEvent: 0 }
  if (known === undefined) streams.set(name, stream)
  if (!narrow(stream, typeof expected === 'number' ? expected : (at ?? expected))) return undefined
  const streamType = streamTypeOf(name)
  for (const prepared of append.events) {
    const { type } = prepared
    const pair = `${streamType}/${type}`
    const kind = kinds.get(pair) ?? { number: kinds.size + 1, streamType, type }
    kinds.set(pair, kind)
    events.push({ prepared, stream, kind, step: ++stream.events })
  }
  stream.lastEvent = events.length
  return { append, stream, step: stream.events, event: events.length }
}

function valuesOf({ streams, kinds, events }: Gathered): readonly unknown[] {
  const names = [...streams.keys()]
  const itsStreams = [...streams.values()]
  const itsKinds = [...kinds.values()]
  const prepared = events.map(({ prepared }) => prepared)
  return [
    textArray(names),
    textArray(names.map(streamTypeOf)),
    itsStreams.map(({ required }) => required),
    intArray(itsStreams.map(({ events }) => events)),
    intArray(itsStreams.map(({ lastEvent }) => lastEvent)),
    textArray(itsKinds.map(({ streamType }) => streamType)),
    textArray(itsKinds.map(({ type }) => type)),
    intArray(events.map(({ stream }) => stream.number)),
    intArray(events.map(({ kind }) => kind.number)),
    intArray(events.map(({ step }) => step)),
    textArray(prepared.map(({ id }) => id)),
    textArray(prepared.map(({ content }) => content)),
    bytesArray(prepared.map(({ salt }) => salt)),
    bytesArray(prepared.map(({ commitment }) => commitment)),
    intArray(prepared.flatMap(({ tags }, index) => tags.map(() => index + 1))),
    textArray(prepared.flatMap(({ tags }) => tags)),
  ]
}

/** Adds what an append expects of its stream, after those before it; false where both cannot be. */
function narrow(stream: Stream, expected: StreamAppend['expected']): boolean {
  if (expected === 'any') return true
  if (expected === 'exists') {
    if (stream.events === 0 && stream.required === any) stream.required = exists
    return true
  }
  const before = expected - stream.events
  if (before < 0 || (stream.required >= 0 && stream.required !== before)) return false
  if (stream.required === exists && before === 0) return false
  stream.required = before
  return true
}
