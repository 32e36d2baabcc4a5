/** The log as one feed over all streams, in order of position: a page, all of it up to now, or without end. */
import { checkOrdinal } from './argument.ts'
import { ForeignLog, InvalidArgument, isStoreError, LogDiverged, PositionBeyondHead } from './errors.ts'
import type { AnyEvent, LogEntry } from './event.ts'
import { formed } from './form.ts'
import { limits } from './limits.ts'
import { observe } from './observe.ts'
import { checkFilter, type LogFilter } from './query.ts'
import {
  iteratedPage,
  logEntryReader,
  type PageRange,
  type Reading,
  type ReadOptions,
  rangeOf,
  totalLimit,
} from './read.ts'
import type { LogPage, LogQuery, LogRecord } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'
import { withOldTypesOf } from './upcaster.ts'

export interface LogReadOptions extends ReadOptions, LogFilter {
  /** The log that `after` was taken from; another one is an error. */
  readonly logId?: string
}

export interface LogEntries<Event extends AnyEvent = AnyEvent> {
  readonly logId: string
  /** Position of the log's newest event. */
  readonly head: number
  readonly entries: readonly LogEntry<Event>[]
  /** Where the next page goes on: as `after`, or backwards as `until` less 1. Filtered entries are behind it. */
  readonly scannedTo: number
  readonly more: boolean
}

export interface SubscribeOptions extends LogFilter, Pick<ReadOptions, 'raw'> {
  /** The position that was finished; default 0. */
  readonly after?: number
  readonly logId?: string
  /** Ends the subscription. */
  readonly signal?: AbortSignal
  /** Called whenever all there is has been handled, with the position up to which the log was looked at. */
  readonly onCaughtUp?: (position: number) => void
  /**
   * Called when a read failed and will be tried again. With it the subscription goes on until the signal ends it; without
   * it, it throws once 20 tries in a row have failed, so that trouble is never silent.
   */
  readonly onTrouble?: (error: unknown, retryInMs: number) => void
}

export async function logPage<Event extends AnyEvent>(
  reading: Reading,
  options: Pick<LogReadOptions, 'logId' | keyof LogFilter>,
  range: PageRange,
): Promise<LogEntries<Event>> {
  const query = { ...filterOf(reading, options), ...range }
  const page = await checkedPage(reading, 'read log', query, options.logId)
  return entriesOf<Event>(reading, page, options)
}

/** Pages up to the head that the first one saw, so that the end does not run away; `pageOf` asks for one. */
export async function* logPages<Event extends AnyEvent>(
  pageOf: (range: PageRange) => Promise<LogEntries<Event>>,
  options: LogReadOptions,
): AsyncGenerator<readonly LogEntry<Event>[]> {
  let range: PageRange = { ...rangeOf(options), limit: iteratedPage(options.limit) }
  while (true) {
    options.signal?.throwIfAborted()
    const page = await pageOf(range)
    yield page.entries
    if (!page.more) return
    range =
      range.direction === 'forwards'
        ? { ...range, after: page.scannedTo, until: range.until ?? page.head }
        : { ...range, until: page.scannedTo - 1 }
  }
}

export async function* subscriptionPages<Event extends AnyEvent>(
  reading: Reading,
  options: SubscribeOptions,
  signal: AbortSignal,
): AsyncGenerator<readonly LogEntry<Event>[]> {
  for await (const { entries } of feedPages<Event>(reading, options, signal)) if (entries.length > 0) yield entries
}

/**
 * One code path for catching up and for what comes live: read after the checkpoint, then wait for a wake-up that carries
 * no events. A lost wake-up costs delay, never an event. Reads that fail are tried again with back-off; what cannot heal
 * is thrown. After a failure or a rest the record that was read last is looked at again, for a log that has lost its tail
 * may have grown past it. Gives every page, also those in which the filter has left nothing, for `scannedTo` moves on.
 */
export async function* feedPages<Event extends AnyEvent>(
  reading: Reading,
  options: SubscribeOptions,
  signal: AbortSignal,
): AsyncGenerator<LogEntries<Event>> {
  const filter = filterOf(reading, options)
  let after = options.after ?? 0
  let caughtUpAt = -1
  let failures = 0
  let mark: Mark | undefined
  let lookedAt = performance.now()
  // A table has no copy that is behind.
  const mayLose = reading.storage.abilities.positions === 'at-commit'
  const look = async (range: PageRange) => {
    const { head, records } = await tailPage(reading, range, undefined)
    return { head, found: records }
  }
  while (!signal.aborted) {
    try {
      for await (const _ of reading.storage.wake(signal)) {
        let page: LogPage
        do {
          if (mark && mayLose && performance.now() - lookedAt > limits.markIdleMs) await checkMark(mark, look)
          const query: LogQuery = { ...filter, after, direction: 'forwards', limit: limits.iterateRecords }
          page = await tailPage(reading, query, options.logId)
          failures = 0
          lookedAt = performance.now()
          mark = page.records.at(-1) ?? mark
          yield await entriesOf<Event>(reading, page, options)
          if (signal.aborted) return
          after = page.scannedTo
        } while (page.more)
        if (after === caughtUpAt) continue
        caughtUpAt = after
        options.onCaughtUp?.(after)
      }
    } catch (error) {
      if (signal.aborted) return
      failures++
      lookedAt = Number.NEGATIVE_INFINITY
      if (!mayHeal(error)) throw error
      await backOff(error, failures, options, signal)
    }
  }
}

/** What is known of the record that was read last: enough to see that it is not there any more. */
export type Mark = Pick<LogRecord | LogEntry, 'stream' | 'revision' | 'position' | 'time'>

/** Throws where the log does not reach the mark any more, or holds another record there; `look` reads that one position. */
export async function checkMark(
  { position = 0, stream, revision, time }: Mark,
  look: (range: PageRange) => Promise<{ readonly head: number; readonly found: readonly Mark[] }>,
): Promise<void> {
  const range = { after: position - 1, until: position, direction: 'forwards', limit: 1 } as const
  const { head, found } = await look(range).catch((error) => {
    if (isStoreError(error, 'position-beyond-head')) return { head: (error as PositionBeyondHead).head, found: [] }
    throw error
  })
  if (position > head) throw new PositionBeyondHead({ position, head })
  const [there] = found
  if (there?.stream === stream && there.revision === revision && there.time === time) return
  throw new LogDiverged({ position, stream, revision })
}

/** Waits after a failure that may heal, and says so; throws it where nobody is told and it has come too often. */
export async function backOff(
  error: unknown,
  failures: number,
  { onTrouble }: Pick<SubscribeOptions, 'onTrouble'>,
  signal: AbortSignal,
): Promise<void> {
  if (!onTrouble && failures >= limits.subscribeTries) throw error
  const retryInMs = backoffMs(failures, limits.subscribeBackoffMs, limits.subscribeBackoffMsMax)
  onTrouble?.(error, retryInMs)
  await sleep(retryInMs, signal)
}

/**
 * Subscribers that stand at the same place and ask in the same moment, as those of a wake-up do, share one read. Of each
 * filter only the last read is kept, for those who catch up may make many before the moment is over.
 */
async function tailPage(reading: Reading, query: LogQuery, logId: string | undefined): Promise<LogPage> {
  const { tail } = reading
  const { after, ...rest } = query
  const filter = JSON.stringify([logId, rest])
  const last = tail.get(filter)
  if (last?.after === after) return last.page
  const page = checkedPage(reading, 'subscription', query, logId)
  // Gone before anybody can be woken who was woken by what this read does not see.
  if (last === undefined) void Promise.resolve().then(() => tail.delete(filter))
  tail.set(filter, { after, page })
  return page
}

/** Says at the call, and not at the first event, what is wrong with it. */
export function checkLogRead(options: LogReadOptions): void {
  checkFilter(options, 'filter')
  rangeOf(options)
  totalLimit(options.limit)
}

export function checkSubscribe(options: SubscribeOptions): void {
  checkFilter(options, 'filter')
  checkOrdinal(options.after ?? 0, 'after')
  for (const name of ['onCaughtUp', 'onTrouble'] as const) {
    if (options[name] !== undefined && typeof options[name] !== 'function') {
      throw new InvalidArgument(name, 'must be a function')
    }
  }
}

export function mayHeal(error: unknown): boolean {
  return !isStoreError(error) || error.code === 'store-busy' || error.code === 'storage-failed'
}

function filterOf({ upcasters }: Reading, { streamTypes, types, tags }: LogFilter): LogFilter {
  const filter = { ...(streamTypes && { streamTypes }), ...(types && { types }), ...(tags && { tags }) }
  return withOldTypesOf(upcasters, filter)
}

async function checkedPage(
  { storage, observer }: Reading,
  name: string,
  query: LogQuery,
  logId?: string,
): Promise<LogPage> {
  const call = { layer: 'store', name, size: ({ records }: LogPage) => records.length } as const
  const page = await observe(observer, call, () => storage.readLog(query))
  if (logId !== undefined && logId !== page.logId) throw new ForeignLog({ logId, actual: page.logId })
  if (query.after > page.head) throw new PositionBeyondHead({ position: query.after, head: page.head })
  return page
}

async function entriesOf<Event extends AnyEvent>(
  reading: Reading,
  page: LogPage,
  { types }: LogFilter,
): Promise<LogEntries<Event>> {
  const { upcasters } = reading
  const { logId, head, scannedTo, more } = page
  const all = await formed<Event, LogEntry<Event>>(reading, page.records.map(logEntryReader<Event>()))
  const asked = (entry: LogEntry<Event>) => entry.forgotten || entry.tombstone || types?.includes(entry.type)
  return { logId, head, entries: upcasters.length === 0 || !types?.length ? all : all.filter(asked), scannedTo, more }
}
