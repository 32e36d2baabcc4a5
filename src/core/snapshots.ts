/**
 * The store's snapshots: taking, listing, dropping, and loading from them. A load that was dear asks for one by a job of the
 * queue, so that taking is never in a writer's way; whichever process works for the decider takes it.
 */
import { errorOf } from './append.ts'
import { checkFunctions, checkList, checkObject } from './argument.ts'
import { type Background, checkWritable } from './background.ts'
import { commitDocuments } from './commit-documents.ts'
import { type Fold, foldOver, type LoadOptions, type Resumed, type Resuming } from './decider.ts'
import { deleteDocument, guardOf, indexQuery } from './document.ts'
import { utf8Length } from './encoding.ts'
import { InvalidArgument, isStoreError, StoreBusy, StreamForgotten, StreamNotFound } from './errors.ts'
import type { AnyEvent, Recorded } from './event.ts'
import { limits } from './limits.ts'
import { checkStream, checkStreamType } from './name.ts'
import { pageKey, placeIn } from './page-key.ts'
import { type EventPage, eventPage, pageRangeOf, pageSize, type ReadOptions } from './read.ts'
import {
  checkPolicy,
  putSnapshot,
  type Snapshot,
  type SnapshotContent,
  type SnapshotKey,
  type SnapshotPolicy,
  snapshotKey,
  snapshotOf,
  snapshots,
} from './snapshot.ts'
import { createAsking, snapshotHandler, snapshotKind } from './snapshot-job.ts'
import { createFinding } from './snapshot-resume.ts'
import type { DocumentKey, DocumentQuery, DocumentWrite } from './storage.ts'
import { formatInstant, parseInstant } from './time.ts'
import { backoffMs, sleep } from './turn.ts'
import type { JobHandlers } from './worker.ts'

/** A decider whose states can be kept, whatever they and its events are; `decide` is not needed for that. */
export interface Snapshotting {
  initialState(): unknown
  evolve(state: never, event: never): unknown
  readonly snapshot?: SnapshotPolicy
  /** As of a `Fold`. */
  stillHolds?(state: never): boolean
  /** What of a state can be kept, with the last event in it; all of it where this is left out. */
  keeps?(state: never): Kept | undefined
}

export interface Kept {
  readonly state: unknown
  readonly last: Recorded
}

export interface Snapshots {
  /**
   * Of the stream as it is now, in place of an older one; by the decider, or by the name of one that the store was opened
   * with. Throws `InvalidArgument` for a state that does not survive JSON, `StreamNotFound`, `StreamForgotten`.
   */
  take(decider: Snapshotting | string, stream: string): Promise<Snapshot>
  /** Of every stream of a type that has come on by `every` events, or by any where the decider does not say. */
  takeAll(decider: Snapshotting | string, streamType: string, options?: TakeAllOptions): Promise<TakenAll>
  /** One page; of a stream, or of a decider in order of its versions. */
  list(options: SnapshotListOptions): Promise<SnapshotsPage>
  /** Costs time, and no more. Of a decider, one of its versions, one of its streams. */
  drop(which: SnapshotDropOptions): Promise<{ readonly dropped: number }>
}

export interface TakeAllOptions {
  /** Only of streams updated at or after this instant. */
  readonly updatedAfter?: string | Date
  readonly signal?: AbortSignal
}

export interface TakenAll {
  /** Streams that were looked at. */
  readonly streams: number
  readonly taken: number
}

export interface SnapshotListOptions {
  readonly stream?: string
  readonly decider?: string
  /** `next` of the page before. */
  readonly cursor?: string
  /** 1 to 1,000; default 100. */
  readonly limit?: number
}

export interface SnapshotsPage {
  readonly snapshots: readonly Snapshot[]
  readonly next?: string
}

export interface SnapshotDropOptions {
  readonly decider: string
  readonly version?: number
  readonly stream?: string
}

export interface Snapshotted {
  readonly face: Snapshots
  /** For loads. */
  readonly resuming: Resuming
  /** For workers, of the deciders that the store was opened with. */
  readonly handlers: JobHandlers
}

/** `marks` changes whenever what is encrypted may read otherwise. */
export function createSnapshots(
  background: Background,
  deciders: readonly Snapshotting[],
  marks: () => Promise<string>,
): Snapshotted {
  const { storage, queue, making, reading } = background
  const known = knownDeciders(deciders)
  const finding = createFinding(background)
  const ask = createAsking(background)
  /** A tombstone is no event that a decider must be able to fold. */
  async function readPage<Event extends AnyEvent>(
    stream: string,
    options: ReadOptions = {},
  ): Promise<EventPage<Event>> {
    const page = await eventPage<Event>(reading, stream, pageRangeOf(options))
    if (page.details?.forgotten) throw new StreamForgotten(stream)
    return page
  }

  function deciderOf(which: Snapshotting | string): Snapshotting {
    checkWritable(background)
    if (typeof which !== 'string') return checkDecider(which, 'decider')
    const decider = known.get(which)
    if (decider !== undefined) return decider
    const names = [...known.keys()].join(', ') || 'none'
    throw new InvalidArgument('decider', `the store was opened with none of the name "${which}" (there: ${names})`)
  }

  async function drop(keys: readonly DocumentKey[]): Promise<void> {
    const deletes = keys.flatMap(({ key }) => deleteDocument(snapshots, { key, if: { is: 'anything' } }))
    await commitDocuments(background, deletes)
  }

  /** `undefined`: nothing of the state can be kept yet. */
  async function take(decider: Snapshotting, stream: string): Promise<Snapshot | undefined> {
    const key = keyOf(decider, stream)
    for (let tries = 1; tries <= limits.executeTries; tries++) {
      const before = await marks()
      const { document, forms, logId, resumed } = await finding.find(key, {})
      const { state, last } = await foldOver(
        { readPage },
        { stream, fold: decider as Fold<AnyEvent, unknown>, options: {}, resumed },
      )
      const kept = last && (decider.keeps ? decider.keeps(state as never) : { state, last })
      if (kept === undefined) {
        const own = resumed && document && snapshotOf(document)
        if (own === undefined && last === undefined) throw new StreamNotFound(stream)
        return own
      }
      const { id, revision } = kept.last
      const time = parseInstant(kept.last.time, 'time')
      const content = { ...key, forms, logId, revision, event: id, time, state: kept.state }
      const documents = putSnapshot(content, guardOf(document))
      // What was declared meanwhile may have changed the form of a part of the events.
      if ((await finding.forms()) === forms) {
        // Forgetting closes the stream first, and deletes its documents then: so none is left behind.
        const open = { stream, expected: 'exists', events: [] } as const
        const outcome = await queue.add({ id: making.newId(), appends: [open], documents })
        if (outcome.outcome !== 'committed' && outcome.outcome !== 'document-conflict') throw errorOf(outcome)
        // Who forgets a subject of an open stream drops its snapshots, and may have met none yet.
        const stands = outcome.outcome === 'committed' && (await marks()) === before
        if (stands) return describe(content, documents)
        if (outcome.outcome === 'committed') await drop([snapshotKey(key)])
      }
      await sleep(backoffMs(tries, 5, 200))
    }
    throw new StoreBusy(`Others take snapshots of "${stream}" all the time`, 1_000)
  }

  async function takeAll(
    decider: Snapshotting,
    type: string,
    { updatedAfter, signal }: TakeAllOptions,
  ): Promise<TakenAll> {
    const { every = 1 } = policyOf(decider)
    const query = {
      type,
      ...(updatedAfter !== undefined && { updatedFrom: parseInstant(updatedAfter, 'updatedAfter', 'up') }),
      limit: limits.pageRecordsDefault,
    }
    const all = { streams: 0, taken: 0 }
    let cursor: string | undefined
    do {
      signal?.throwIfAborted()
      const page = await storage.listStreams({ ...query, ...(cursor !== undefined && { cursor }) })
      const heads = page.streams.filter(({ closed }) => !closed)
      const contents = await finding.readMany(heads.map(({ stream }) => keyOf(decider, stream)))
      for (const [index, { stream, revision }] of heads.entries()) {
        all.streams++
        if (revision - (contents[index]?.revision ?? 0) < every) continue
        signal?.throwIfAborted()
        all.taken += await take(decider, stream).then(
          (snapshot) => (snapshot ? 1 : 0),
          (error) => {
            if (isStoreError(error, 'stream-forgotten')) return 0
            throw error
          },
        )
      }
      cursor = page.next
    } while (cursor !== undefined)
    return all
  }

  async function* found(which: SnapshotDropOptions): AsyncGenerator<readonly DocumentKey[]> {
    const { decider, version, stream } = which
    if (version !== undefined && stream !== undefined) {
      const key = snapshotKey({ decider, version, stream })
      const [document] = await storage.getDocuments([key])
      if (document) yield [key]
      return
    }
    let cursor: string | undefined
    do {
      const page = await storage.queryDocuments(queryOf({ ...which, limit: storage.limits.commitDocuments, cursor }))
      if (page.documents.length > 0) yield page.documents
      cursor = page.next
    } while (cursor !== undefined)
  }

  return {
    face: {
      take: async (decider, stream) => {
        checkStream(stream)
        const snapshot = await take(deciderOf(decider), stream)
        if (snapshot) return snapshot
        throw new InvalidArgument(
          'stream',
          `nothing of "${stream}" is settled yet: its events are younger than latenessMs`,
        )
      },
      async takeAll(decider, streamType, options = {}) {
        checkStreamType(streamType)
        checkObject(options, 'options')
        return takeAll(deciderOf(decider), streamType, options)
      },
      async list(options) {
        checkObject(options, 'options')
        if (options.stream === undefined && options.decider === undefined) {
          throw new InvalidArgument('options', 'must name a stream or a decider')
        }
        const { stream, decider, cursor } = options
        const listing = [snapshots.collection, stream ?? null, decider ?? null]
        const place = cursor === undefined ? {} : { cursor: placeIn(listing, cursor) }
        const page = { stream, decider, limit: pageSize(options.limit), ...place }
        const { documents, next } = await storage.queryDocuments(queryOf(page))
        const readable = documents.map(snapshotOf).filter((snapshot) => snapshot !== undefined)
        return { snapshots: readable, ...(next !== undefined && { next: pageKey(listing, next) }) }
      },
      async drop(which) {
        checkWritable(background)
        checkObject(which, 'which')
        if (typeof which.decider !== 'string') throw new InvalidArgument('decider', 'must be the name of a decider')
        let dropped = 0
        for await (const keys of found(which)) {
          await drop(keys)
          dropped += keys.length
        }
        return { dropped }
      },
    },
    resuming: {
      async resume<Event extends AnyEvent, State>(policy: SnapshotPolicy, stream: string, options: LoadOptions) {
        const key = { decider: policy.name, version: policy.version, stream }
        const { resumed } = await finding.find(key, options)
        return resumed as Resumed<Event, State> | undefined
      },
      loaded({ name, version, every, slowerMs }, stream, { events, ms }) {
        const dear = (every !== undefined && events >= every) || (slowerMs !== undefined && ms >= slowerMs)
        if (dear && events > 0) void ask({ decider: name, version, stream })
      },
    },
    handlers: Object.fromEntries(
      [...known].map(([name, decider]) => {
        const { version } = policyOf(decider)
        return [snapshotKind(name), snapshotHandler(version, (stream) => take(decider, stream))]
      }),
    ),
  }
}

function knownDeciders(deciders: readonly Snapshotting[]): ReadonlyMap<string, Snapshotting> {
  checkList(deciders, 'deciders')
  const known = new Map<string, Snapshotting>()
  for (const [index, decider] of deciders.entries()) {
    const { name } = policyOf(checkDecider(decider, `deciders[${index}]`))
    if (known.has(name)) throw new InvalidArgument(`deciders[${index}].snapshot.name`, `"${name}" stands twice`)
    known.set(name, decider)
  }
  return known
}

function checkDecider(decider: Snapshotting, path: string): Snapshotting {
  checkFunctions(decider, path, ['initialState', 'evolve'])
  if (decider.snapshot === undefined)
    throw new InvalidArgument(`${path}.snapshot`, 'is missing: give a name and a version')
  checkPolicy(decider.snapshot, `${path}.snapshot`)
  return decider
}

function policyOf({ snapshot }: Snapshotting): SnapshotPolicy {
  return snapshot as SnapshotPolicy
}

function keyOf(decider: Snapshotting, stream: string): SnapshotKey {
  const { name, version } = policyOf(decider)
  return { decider: name, version, stream }
}

function describe({ time, ...content }: SnapshotContent, documents: readonly DocumentWrite[]): Snapshot {
  const { decider, version, stream, revision } = content
  const bytes = documents.reduce((sum, write) => sum + (write.kind === 'put' ? utf8Length(write.body) : 0), 0)
  return { decider, version, stream, revision, time: formatInstant(time), bytes }
}

function queryOf(asked: {
  readonly stream?: string | undefined
  readonly decider?: string | undefined
  readonly version?: number | undefined
  readonly cursor?: string | undefined
  readonly limit: number
}): DocumentQuery {
  const { stream, decider, version, cursor, limit } = asked
  const page = { limit, ...(cursor !== undefined && { cursor }) }
  const exactly = (value: string | number | undefined) => (value === undefined ? {} : { from: value, to: value })
  return stream === undefined
    ? indexQuery(snapshots, { index: 'decider', equals: [decider ?? ''], ...exactly(version), ...page })
    : indexQuery(snapshots, { index: 'stream', equals: [stream], ...exactly(decider), ...page })
}
