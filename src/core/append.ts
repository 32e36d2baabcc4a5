/** From what a caller hands in to what a storage commits: limits, id, canonical content, salt, commitment. */
import { checkList, checkObject, checkOrdinal } from './argument.ts'
import type { CommitQueue } from './commit-queue.ts'
import { contentOf } from './content.ts'
import { utf8Length } from './encoding.ts'
import {
  ConditionFailed,
  DocumentConflict,
  EventIdReused,
  type Expected,
  InvalidArgument,
  isStoreError,
  LimitExceeded,
  RevisionConflict,
  type SchemaViolation,
  StorageFailed,
  StoreBusy,
  StreamForgotten,
} from './errors.ts'
import { type AnyEvent, checkMeta, type NewEvent } from './event.ts'
import type { Random } from './id.ts'
import { type Catalogue, type Guarded, type InForce, nothingInForce, violationOf } from './in-force.ts'
import { commitmentOf, saltBytes } from './leaf.ts'
import { limits } from './limits.ts'
import { checkEventId, checkEventType, checkStream, checkTag, refuseTrail, streamTypeOf } from './name.ts'
import { type Observer, observe } from './observe.ts'
import { type AppendCondition, checkQuery, sortedTags } from './query.ts'
import { checkSchema, type EventSchemas } from './schema.ts'
import { refuseStamp, stamped } from './stamp.ts'
import type { Commit, CommitOutcome, PreparedEvent, StreamAppend, StreamAppended } from './storage.ts'
import { formatInstant } from './time.ts'
import { type Upcaster, withOldTypes } from './upcaster.ts'

export interface AppendOptions {
  /** Default `'any'`. */
  readonly expected?: Expected
  readonly condition?: AppendCondition
  /** Aborted before the append is handed over, nothing is written; afterwards it may be: repeat it with its ids. */
  readonly signal?: AbortSignal
}

/** One stream's part of an append to several. Without events it only checks `expected` (a number or `'exists'`). */
export interface StreamEvents<Event extends AnyEvent = AnyEvent> extends Pick<AppendOptions, 'expected'> {
  readonly stream: string
  readonly events: readonly NewEvent<Event>[]
}

export interface Appended {
  readonly stream: string
  /** Of the first event. */
  readonly first: number
  /** Of the last event: what the next append expects. */
  readonly revision: number
  /** Of the last event, the others right before it; absent where the storage assigns it later. */
  readonly position?: number
  readonly time: string
  readonly ids: readonly string[]
  /** The same append had been recorded before, and nothing was written now. */
  readonly repeated: boolean
}

/** Where ids and salts come from, and what data must look like. */
export interface Making {
  readonly newId: () => string
  readonly random: Random
  readonly schemas?: EventSchemas | undefined
  readonly catalogue?: Catalogue | undefined
}

export interface Appending {
  readonly queue: Pick<CommitQueue, 'add'>
  readonly making: Making
  readonly upcasters: readonly Upcaster[]
  readonly observer?: Observer | undefined
}

/** All or nothing; answers for the streams that got events, in their order. */
export function append(
  appending: Appending,
  appends: readonly StreamEvents[],
  condition: AppendCondition | undefined,
): Promise<readonly Appended[]> {
  const { observer } = appending
  const size = (all: readonly Appended[]) =>
    all.reduce((events, { ids, repeated }) => events + (repeated ? 0 : ids.length), 0)
  return observe(observer, { layer: 'store', name: 'append', size }, () => appendNow(appending, appends, condition))
}

async function appendNow(
  appending: Appending,
  appends: readonly StreamEvents[],
  condition: AppendCondition | undefined,
): Promise<readonly Appended[]> {
  const { queue, making } = appending
  const prepared = await prepareCommit(appending, appends, condition)
  const outcome = await queue.add({ id: making.newId(), ...prepared })
  if (outcome.outcome === 'document-conflict') throw new StoreBusy('Event types were declared just now', 100)
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
  const written = prepared.appends.filter(({ events }) => events.length > 0)
  return written.map((append, index) => appendedOf(append, outcome.streams[index] as StreamAppended, outcome.repeated))
}

/** The events of a commit, with all that is checked of them before it. */
export async function prepareCommit(
  { making, upcasters }: Pick<Appending, 'making' | 'upcasters'>,
  appends: readonly StreamEvents[],
  condition: AppendCondition | undefined,
): Promise<Pick<Commit, 'appends' | 'condition' | 'documents'>> {
  if (condition !== undefined) checkCondition(condition)
  const { schemas, catalogue } = making
  const recent = catalogue === undefined ? nothingInForce : catalogue.recent()
  // Without a wait where there is nothing to wait for: what is appended before the store closes is accepted.
  const { inForce, guard }: Guarded = recent ? { inForce: recent } : await (catalogue as Catalogue).readOrGuard()
  const prepared = prepareAppends(making, appends, inForce)
  if (schemas !== undefined || inForce.types.size > 0) {
    const violation = (await schemaViolationOf(schemas, appends)) ?? (await violationOf(inForce, prepared))
    if (violation !== undefined && !(await isRepeat(catalogue, appends, prepared))) throw violation
  }
  return {
    appends: prepared,
    ...(condition && { condition: { ...condition, query: withOldTypes(upcasters, condition.query) } }),
    ...(guard && { documents: [guard] }),
  }
}

/** Throws for the first thing that cannot be recorded, naming its place; nothing is written then. */
function prepareAppends(making: Making, appends: readonly StreamEvents[], { types }: InForce): readonly StreamAppend[] {
  checkList(appends, 'appends')
  atMost('appendStreams', appends.length, 'append')
  const streams = new Set<string>()
  let events = 0
  let bytes = 0
  const prepared = appends.map((append, index): StreamAppend => {
    const path = appends.length === 1 ? '' : `appends[${index}].`
    checkObject(append, `appends[${index}]`)
    const { stream, expected = 'any' } = append
    checkStream(stream, `${path}stream`)
    refuseTrail(streamTypeOf(stream), `${path}stream`)
    if (streams.has(stream)) {
      throw new InvalidArgument(`${path}stream`, `"${stream}" stands twice; give its events together`)
    }
    streams.add(stream)
    checkList(append.events, `${path}events`)
    if (append.events.length === 0 && appends.length === 1) throw new InvalidArgument('events', noEvents)
    checkExpected(expected, append, `${path}expected`)
    events += append.events.length
    atMost('appendEvents', events, `${path}events`)
    return {
      stream,
      expected,
      events: append.events.map((event, at) => {
        const made = prepareEvent(making, event, { types, path: `${path}events[${at}]` })
        bytes += made.contentBytes
        atMost('appendBytes', bytes, `${path}events[${at}]`)
        return made
      }),
    }
  })
  if (events === 0) throw new InvalidArgument('events', noEvents)
  checkIds(prepared)
  return prepared
}

/** Throws as an append of these would before anything is written, whatever the store then holds against it. */
export function checkAppends(appends: readonly StreamEvents[], condition?: AppendCondition): void {
  if (condition !== undefined) checkCondition(condition)
  prepareAppends({ newId: numbered(), random: (bytes) => new Uint8Array(bytes) }, appends, nothingInForce)
}

const noEvents = 'must hold at least one event'

/** Ids that differ, for events that are only looked at. */
function numbered(): () => string {
  let made = 0
  return () => `checked ${++made}`
}

function prepareEvent(
  making: Making,
  event: NewEvent,
  { types, path }: Pick<InForce, 'types'> & { readonly path: string },
): PreparedEvent {
  checkObject(event, path)
  checkEventType(event.type, `${path}.type`)
  checkMeta(event.meta, `${path}.meta`)
  refuseStamp(event.meta, `${path}.meta`)
  const version = types.get(event.type)?.declared.version
  return makeEvent(making, version === undefined ? event : stamped(event, version), path)
}

/** Also for Daybook's own events, whose types begin with "$". */
export function makeEvent(making: Pick<Making, 'newId' | 'random'>, event: NewEvent, path: string): PreparedEvent {
  const { type, data, id = making.newId(), meta = null } = event
  checkEventId(id, `${path}.id`)
  checkMeta(meta, `${path}.meta`)
  const tags = prepareTags(event.tags, `${path}.tags`)
  const content = contentOf({ id, type, tags, data, meta }, path)
  const contentBytes = utf8Length(content)
  atMost('eventBytes', contentBytes, path)
  const salt = making.random(saltBytes)
  return { id, type, tags, content, contentBytes, salt, commitment: commitmentOf(salt, content) }
}

function prepareTags(tags: readonly string[] = [], path: string): readonly string[] {
  checkList(tags, path)
  for (const [index, tag] of tags.entries()) checkTag(tag, `${path}[${index}]`)
  const sorted = sortedTags(tags)
  atMost('eventTags', sorted.length, path)
  return sorted
}

function checkExpected(expected: Expected, { events }: StreamEvents, path: string): void {
  const word = expected === 'any' || expected === 'exists'
  if (!word && !(Number.isSafeInteger(expected) && (expected as number) >= 0)) {
    throw new InvalidArgument(path, `must be a revision (0: the stream must be new), 'exists' or 'any'`)
  }
  if (events.length === 0 && expected === 'any') {
    throw new InvalidArgument(path, `checks nothing: give a revision or 'exists'`)
  }
}

function checkIds(appends: readonly StreamAppend[]): void {
  const ids = new Set<string>()
  for (const { events } of appends) {
    for (const { id } of events) {
      if (ids.has(id)) throw new InvalidArgument('events', `event id "${id}" stands twice`)
      ids.add(id)
    }
  }
}

function checkCondition(condition: AppendCondition): void {
  checkObject(condition, 'condition')
  checkQuery(condition.query, 'condition.query')
  const { after = 0, guard = '' } = condition
  checkOrdinal(after, 'condition.after')
  if (typeof guard !== 'string') {
    throw new InvalidArgument('condition.guard', 'must be a text that a decision read gave')
  }
}

async function schemaViolationOf(
  schemas: EventSchemas = {},
  appends: readonly StreamEvents[],
): Promise<SchemaViolation | undefined> {
  for (const [index, { events }] of appends.entries()) {
    const path = appends.length === 1 ? '' : `appends[${index}].`
    for (const [at, { type, data }] of events.entries()) {
      const violation = await checkSchema(schemas, type, data, `${path}events[${at}].data`)
      if (violation !== undefined) return violation
    }
  }
  return undefined
}

/** What is in the log already was taken when it was recorded, and a repeat is answered as it was then. */
async function isRepeat(
  catalogue: Catalogue | undefined,
  appends: readonly StreamEvents[],
  prepared: readonly StreamAppend[],
): Promise<boolean> {
  const named = appends.some(({ events }) => events.some(({ id }) => id !== undefined))
  return named && (await catalogue?.isRecorded(prepared)) === true
}

function appendedOf(
  { events }: StreamAppend,
  { stream, first, last, time, position }: StreamAppended,
  repeated: boolean,
): Appended {
  return {
    stream,
    first,
    revision: last,
    ...(position !== undefined && { position }),
    time: formatInstant(time),
    ids: events.map(({ id }) => id),
    repeated,
  }
}

/** The typed error for an outcome in which nothing was written. */
export function errorOf(outcome: Exclude<CommitOutcome, { outcome: 'committed' }>): Error {
  switch (outcome.outcome) {
    case 'conflict':
      return new RevisionConflict(outcome)
    case 'forgotten':
      return new StreamForgotten(outcome.stream)
    case 'condition-failed':
      return new ConditionFailed(outcome)
    case 'document-conflict':
      return new DocumentConflict({ ...outcome.key, version: outcome.version })
    case 'id-reused':
      return new EventIdReused(outcome)
    case 'limit':
      return new LimitExceeded(outcome, 'append')
    case 'busy':
      return new StoreBusy('Another process holds the store', outcome.retryAfterMs)
    case 'failed':
      return isStoreError(outcome.cause) ? outcome.cause : new StorageFailed('commit', outcome.cause)
  }
}

type AppendLimit = 'appendStreams' | 'appendEvents' | 'appendBytes' | 'eventBytes' | 'eventTags'

function atMost(limit: AppendLimit, actual: number, path: string): void {
  if (actual > limits[limit]) throw new LimitExceeded({ limit, allowed: limits[limit], actual }, path)
}
