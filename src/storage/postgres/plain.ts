/** A batch of plain appends in the columns that `append_plain_1` takes, and what it answers as outcomes. */
import { streamTypeOf } from '../../core/name.ts'
import type { Commit, CommitOutcome, StreamAppend } from '../../core/storage.ts'
import { bytesArray, intArray, textArray } from './binary-array.ts'

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

export interface PlainBatch {
  readonly values: readonly unknown[]
  outcomesOf(answer: readonly number[]): readonly CommitOutcome[]
}

/** Nothing where one of the commits is more than events for streams, or cannot pass whatever the log holds. */
export function plainBatchOf(commits: readonly Commit[], now: number): PlainBatch | undefined {
  const streams = new Map<string, Stream>()
  const kinds = new Map<string, { readonly number: number; readonly streamType: string; readonly type: string }>()
  const ids = new Set<string>()
  const columns = { streams: [] as number[], kinds: [] as number[], steps: [] as number[] }
  const [contents, salts, commitments]: [string[], Uint8Array[], Uint8Array[]] = [[], [], []]
  const [tagEvents, tags]: [number[], string[]] = [[], []]
  /** Of each commit's appends: where it ends in its stream, counted from the batch's beginning, and in the batch. */
  const ends: {
    readonly append: StreamAppend
    readonly stream: Stream
    readonly step: number
    readonly event: number
  }[][] = []

  for (const { appends, condition, documents = [] } of commits) {
    if (condition !== undefined || documents.length > 0) return undefined
    const itsEnds: (typeof ends)[number] = []
    for (const append of appends) {
      const { stream: name, events, expected, tombstone } = append
      if (tombstone || events.length === 0) return undefined
      let stream = streams.get(name)
      if (stream === undefined) {
        stream = { number: streams.size + 1, required: any, events: 0, lastEvent: 0 }
        streams.set(name, stream)
      }
      if (!require(stream, expected)) return undefined
      const streamType = streamTypeOf(name)
      for (const { id, type, content, salt, commitment, tags: itsTags } of events) {
        const kindName = `${streamType}/${type}`
        let kind = kinds.get(kindName)
        if (kind === undefined) {
          kind = { number: kinds.size + 1, streamType, type }
          kinds.set(kindName, kind)
        }
        stream.events++
        columns.streams.push(stream.number)
        columns.kinds.push(kind.number)
        columns.steps.push(stream.events)
        ids.add(id)
        contents.push(content)
        salts.push(salt)
        commitments.push(commitment)
        for (const tag of itsTags) {
          tagEvents.push(contents.length)
          tags.push(tag)
        }
      }
      stream.lastEvent = contents.length
      itsEnds.push({ append, stream, step: stream.events, event: contents.length })
    }
    ends.push(itsEnds)
  }
  if (ids.size < contents.length) return undefined

  const names = [...streams.keys()]
  const all = [...streams.values()]
  const values = [
    textArray(names),
    textArray(names.map(streamTypeOf)),
    all.map(({ required }) => required),
    intArray(all.map(({ events }) => events)),
    intArray(all.map(({ lastEvent }) => lastEvent)),
    textArray([...kinds.values()].map(({ streamType }) => streamType)),
    textArray([...kinds.values()].map(({ type }) => type)),
    ...[intArray(columns.streams), intArray(columns.kinds), intArray(columns.steps)],
    ...[textArray([...ids]), textArray(contents), bytesArray(salts), bytesArray(commitments)],
    ...[intArray(tagEvents), textArray(tags), now],
  ]
  return {
    values,
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

/** Adds what an append expects of its stream, after those before it; false where both cannot be. */
function require(stream: Stream, expected: StreamAppend['expected']): boolean {
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
