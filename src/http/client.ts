/**
 * The store over HTTP: the same interface as the embedded one, over `fetch`, for Node, Deno, Bun, browsers and Lambda.
 * Every request may be sent again: an append gets the ids of its events before its first try, so the server knows a
 * repeat for what it is. What a repeat answers says `repeated`, though it may be the first that came back.
 */
import { type Appended, checkAppends, type StreamEvents } from '../core/append.ts'
import { checkObject } from '../core/argument.ts'
import { type BoundaryPageOptions, type BoundaryPart, checkBoundaryRead, readBoundary } from '../core/boundary.ts'
import { execute, load } from '../core/decider.ts'
import { Unsupported } from '../core/errors.ts'
import type { AnyEvent, NewEvent } from '../core/event.ts'
import {
  checkLogRead,
  checkSubscribe,
  type LogEntries,
  type LogReadOptions,
  logPages,
  type SubscribeOptions,
} from '../core/feed.ts'
import { derivedId, newId, secureRandom } from '../core/id.ts'
import { type StreamsPage, type StreamsPageOptions, streamsPages } from '../core/listing.ts'
import { checkStream, checkStreamType } from '../core/name.ts'
import { checkFilter, type EventQuery, type LogFilter } from '../core/query.ts'
import {
  checkRead,
  type EventPage,
  eventPages,
  flatten,
  type PageRange,
  pageRangeOf,
  pageSize,
  type ReadOptions,
} from '../core/read.ts'
import type { Store, StoreInfo } from '../core/store.ts'
import { formatInstant } from '../core/time.ts'
import { archiveOver, backupsOver } from './faces/archive.ts'
import { consumersOver } from './faces/consumers.ts'
import { eventTypesOver } from './faces/event-types.ts'
import { jobsOver } from './faces/jobs.ts'
import { ledgerElsewhere } from './faces/ledger.ts'
import { projectionsOver } from './faces/projections.ts'
import { snapshotsOver } from './faces/snapshots.ts'
import { statesOver } from './faces/states.ts'
import { viewsOver } from './faces/views.ts'
import { instantText, parameters } from './parameters.ts'
import { createRequester, type Parameters, type RequesterOptions } from './request.ts'
import { subscriptionPages } from './subscription.ts'

export interface ClientOptions extends Omit<RequesterOptions, 'closing'> {
  /**
   * Of the trace that an append belongs to; written into its events' meta before the first try, unless the caller gave
   * ids: then it may be a retry, which must not differ.
   */
  readonly traceparent?: () => string | undefined
  /** Where event ids come from; default UUIDv7. */
  readonly newId?: () => string
}

/** Opens nothing: the first request does. Throws `InvalidArgument` for options that cannot work. */
export function createClient(options: ClientOptions): Store {
  const random = secureRandom()
  const { traceparent, newId: makeId = () => newId(random) } = options
  const closing = new AbortController()
  const requester = createRequester({ ...options, closing: closing.signal })
  const { ask } = requester

  /** With all that makes it the same append when it is sent again. */
  const sealed = (events: readonly NewEvent[]): readonly NewEvent[] => {
    const trace = events.some(({ id }) => id !== undefined) ? undefined : traceparent?.()
    return events.map((event) => ({
      ...event,
      id: event.id ?? makeId(),
      ...(trace !== undefined && { meta: { traceparent: trace, ...event.meta } }),
    }))
  }
  const eventPage = <Event extends AnyEvent>(stream: string, range: PageRange, signal?: AbortSignal) =>
    ask<EventPage<Event>>('GET', streamPath(stream), { query: rangeParameters(range, 'until-revision'), signal })
  const logPage = <Event extends AnyEvent>(options: LogReadOptions, range: PageRange) =>
    ask<LogEntries<Event>>('GET', '/log', {
      query: [...rangeParameters(range, 'until-position'), ...feedParameters(options)],
      signal: options.signal,
    })
  const streamsPage = (type: string, { updatedAfter, cursor, limit, signal }: StreamsPageOptions) => {
    const since = instantText(updatedAfter, 'updatedAfter')
    const query = parameters({ 'stream-type': type, 'updated-after': since, cursor, limit: pageSize(limit) })
    return ask<StreamsPage>('GET', '/streams', { query, signal })
  }
  const boundaryPage = <Event extends AnyEvent>(query: EventQuery, { signal, ...page }: BoundaryPageOptions) =>
    ask<BoundaryPart<Event>>('POST', '/boundary', { body: { query, ...page }, signal })

  const client: Store = {
    async append(stream, events, options = {}) {
      checkObject(options, 'options')
      const { expected = 'any' } = options
      const [appended] = await client.appendMany([{ stream, events, expected }], options)
      return appended as Appended
    },
    async appendMany(appends, options = {}) {
      checkObject(options, 'options')
      const { condition, signal } = options
      checkAppends(appends, condition)
      const parts = appends.map((append): StreamEvents => ({ ...append, events: sealed(append.events) }))
      const ids = parts.flatMap(({ events }) => events.map(({ id }) => String(id)))
      const body = { appends: parts, ...(condition && { condition }) }
      const { appended } = await ask<{ appended: readonly Appended[] }>('POST', '/append', { body, ids, signal })
      return appended
    },
    async appendWithin() {
      throw new Unsupported('appendWithin', 'A transaction cannot be sent to a server')
    },
    read<Event extends AnyEvent>(stream: string, options: ReadOptions = {}) {
      checkRead(stream, options)
      refuseRaw(options)
      return flatten(
        eventPages((range) => eventPage<Event>(stream, range, options.signal), options),
        options.limit,
      )
    },
    async readPage(stream, options = {}) {
      checkStream(stream)
      refuseRaw(options)
      return eventPage(stream, pageRangeOf(options), options.signal)
    },
    async details(stream) {
      checkStream(stream)
      // A page after the last revision that there can be holds no event.
      const page = await eventPage(stream, { after: Number.MAX_SAFE_INTEGER, direction: 'forwards', limit: 1 })
      return page.details
    },
    streams(type, options = {}) {
      checkStreamType(type)
      checkObject(options, 'options')
      return flatten(streamsPages((page) => streamsPage(type, page), options))
    },
    async streamsPage(type, options = {}) {
      checkStreamType(type)
      checkObject(options, 'options')
      return streamsPage(type, options)
    },
    async streamTypes() {
      return (await ask<{ streamTypes: readonly string[] }>('GET', '/stream-types')).streamTypes
    },
    async readBoundary<Event extends AnyEvent>(query: EventQuery, options = {}) {
      checkBoundaryRead(query, options)
      return readBoundary((page) => boundaryPage<Event>(query, page), options)
    },
    async readBoundaryPage(query, options = {}) {
      checkBoundaryRead(query, options)
      return boundaryPage(query, options)
    },
    readLog<Event extends AnyEvent>(options: LogReadOptions = {}) {
      checkLogRead(options)
      refuseRaw(options)
      return flatten(
        logPages((range) => logPage<Event>(options, range), options),
        options.limit,
      )
    },
    async readLogPage(options = {}) {
      checkFilter(options, 'filter')
      refuseRaw(options)
      return logPage(options, pageRangeOf(options))
    },
    subscribe<Event extends AnyEvent>(options: SubscribeOptions = {}) {
      checkSubscribe(options)
      refuseRaw(options)
      const signal = options.signal ? AbortSignal.any([options.signal, closing.signal]) : closing.signal
      return flatten(subscriptionPages<Event>(requester, feedParameters(options), options, signal), undefined, signal)
    },
    execute: (decider, stream, command, options) => execute(client, decider, stream, command, options),
    load: (stream, fold, options) => load(client, stream, fold, options),
    views: viewsOver(requester),
    async forget(stream, options) {
      checkStream(stream)
      checkObject(options, 'options')
      const { signal, ...body } = options
      return ask('POST', `${streamPath(stream)}/forget`, { body, signal, ids: [derivedId(['tombstone', stream])] })
    },
    jobs: jobsOver(requester, makeId),
    consumers: consumersOver(requester),
    projections: projectionsOver(requester),
    eventTypes: eventTypesOver(requester),
    snapshots: snapshotsOver(requester),
    ledger: ledgerElsewhere(),
    archive: archiveOver(requester),
    backups: backupsOver(requester),
    states: statesOver(requester),
    info: () => ask<StoreInfo>('GET', '/info'),
    async close() {
      closing.abort()
      await requester.settled()
    },
    [Symbol.asyncDispose]: () => client.close(),
  }
  return client
}

function refuseRaw({ raw }: Pick<ReadOptions, 'raw'>): void {
  if (raw) throw new Unsupported('raw', 'A server gives events in their newest form; ask a store on its storage')
}

function streamPath(stream: string): string {
  const slash = stream.indexOf('/')
  return `/streams/${stream.slice(0, slash)}/${encodeURIComponent(stream.slice(slash + 1))}`
}

function rangeParameters({ after, until, asOf, direction, limit }: PageRange, untilName: string): Parameters {
  const instant = asOf === undefined ? undefined : formatInstant(asOf)
  return parameters({ after, [untilName]: until, until: instant, direction, limit })
}

function feedParameters({ logId, streamTypes, types, tags }: LogFilter & { readonly logId?: string }): Parameters {
  const named = (name: string, values: readonly string[] = []) => values.map((value) => [name, value] as const)
  return [
    ...parameters({ 'log-id': logId }),
    ...named('stream-type', streamTypes),
    ...named('event-type', types),
    ...named('tag', tags),
  ]
}
