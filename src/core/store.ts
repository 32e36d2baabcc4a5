/** The store: what users hold. Everything that it does lives in the file of its noun; here is the whole of it at a glance. */
import { type Appended, type AppendOptions, append, type Making, type StreamEvents } from './append.ts'
import { type Archive, archiveHandler, checkArchive, createArchive } from './archive.ts'
import { createArchived } from './archived.ts'
import { archives, createArchiving } from './archiving.ts'
import { checkList, checkObject } from './argument.ts'
import type { Background } from './background.ts'
import { type Backup, type BackupOptions, checkBackupPlace, takeBackup } from './backup.ts'
import {
  type Boundary,
  type BoundaryPageOptions,
  type BoundaryPart,
  boundaryPage,
  checkBoundaryRead,
  readBoundary,
} from './boundary.ts'
import { createCatalogue, type EventTypes, eventTypes } from './catalogue.ts'
import { overtakeRunners } from './checkpoint.ts'
import { type CommitQueue, commitAlone, createCommitQueue } from './commit-queue.ts'
import { consumers } from './consumer.ts'
import { type Consumers, createConsumers } from './consumers.ts'
import {
  type Decider,
  type Executed,
  type ExecuteOptions,
  execute,
  type Fold,
  type Loaded,
  type LoadOptions,
  type LoadsAndAppends,
  load,
} from './decider.ts'
import type { Erasing } from './erasure.ts'
import { StoreReadOnly, Unsupported } from './errors.ts'
import type { AnyEvent, LogEntry, NewEvent, Recorded } from './event.ts'
import {
  checkLogRead,
  checkSubscribe,
  type LogEntries,
  type LogReadOptions,
  logPage,
  logPages,
  type SubscribeOptions,
  subscriptionPages,
} from './feed.ts'
import { type ForgetOptions, type ForgetReport, forget, forgetHandler, resumeForgetting } from './forget.ts'
import { newId, secureRandom } from './id.ts'
import { createInline } from './inline.ts'
import { archiveKind, forgetKind, jobs } from './job.ts'
import { createJobs, type Jobs } from './jobs.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { type StreamsOptions, type StreamsPage, type StreamsPageOptions, streamsPage, streamsPages } from './listing.ts'
import { snapshottingOf } from './live.ts'
import { checkStream, checkStreamType } from './name.ts'
import { type ObjectStore, watchedObjects } from './object-store.ts'
import { parkedItems } from './parked.ts'
import { parkedViews } from './parked-view.ts'
import { collectionsOf, shapesOf } from './projection.ts'
import { checkRegistered, createKnownStates, projectionStates, register } from './projection-state.ts'
import { createProjections, type Projections } from './projections.ts'
import { checkFilter, type EventQuery } from './query.ts'
import {
  checkRead,
  type EventPage,
  eventPage,
  eventPages,
  flatten,
  pageRangeOf,
  type Reading,
  type ReadOptions,
  readingAs,
} from './read.ts'
import { deletesOfViews, forgetInViews } from './refold.ts'
import { addingRepeats } from './repeat.ts'
import { createReplays, type Replays } from './replay.ts'
import { schedules } from './schedule.ts'
import { segments } from './segment.ts'
import { snapshots } from './snapshot.ts'
import { createSnapshots, type Snapshots } from './snapshots.ts'
import type { Commit, Storage, Transaction } from './storage.ts'
import type { StoreOptions } from './store-options.ts'
import { detailsOf, type StreamDetails } from './stream.ts'
import { tableShapesOf } from './tables.ts'
import { createViews, type Views } from './view.ts'
import { watched } from './watched.ts'

export interface Store extends AsyncDisposable {
  /** Appends to one stream: all or nothing, on disk when it resolves. Safe to repeat with the same event ids. */
  append<Event extends AnyEvent = AnyEvent>(
    stream: string,
    events: readonly NewEvent<Event>[],
    options?: AppendOptions,
  ): Promise<Appended>
  /** Appends to several streams: all or nothing, side by side in the log. Answers for those that got events. */
  appendMany(appends: readonly StreamEvents[], options?: Omit<AppendOptions, 'expected'>): Promise<readonly Appended[]>
  /**
   * Appends as a part of the caller's own transaction in the storage's database: recorded, and seen by others, once that
   * has committed. After an error the transaction is as it was before. Throws `Unsupported` where there is no such thing.
   */
  appendWithin(
    transaction: Transaction,
    appends: readonly StreamEvents[],
    options?: Omit<AppendOptions, 'expected'>,
  ): Promise<readonly Appended[]>
  /** The events of a stream: none where there is no such stream, its tombstone alone where it was forgotten. */
  read<Event extends AnyEvent = AnyEvent>(stream: string, options?: ReadOptions): AsyncIterable<Recorded<Event>>
  readPage<Event extends AnyEvent = AnyEvent>(stream: string, options?: ReadOptions): Promise<EventPage<Event>>
  details(stream: string): Promise<StreamDetails | undefined>
  /** The streams of a type, least recently updated first. */
  streams(type: string, options?: StreamsOptions): AsyncIterable<StreamDetails>
  streamsPage(type: string, options?: StreamsPageOptions): Promise<StreamsPage>
  streamTypes(): Promise<readonly string[]>
  /** All events that a decision depends on, and the condition that guards it. */
  readBoundary<Event extends AnyEvent = AnyEvent>(
    query: EventQuery,
    options?: Pick<BoundaryPageOptions, 'signal'>,
  ): Promise<Boundary<Event>>
  readBoundaryPage<Event extends AnyEvent = AnyEvent>(
    query: EventQuery,
    options?: BoundaryPageOptions,
  ): Promise<BoundaryPart<Event>>
  /** The log in order of position, up to where it ended when the read began. */
  readLog<Event extends AnyEvent = AnyEvent>(options?: LogReadOptions): AsyncIterable<LogEntry<Event>>
  readLogPage<Event extends AnyEvent = AnyEvent>(options?: LogReadOptions): Promise<LogEntries<Event>>
  /** The log without end: what is there, then what comes, until the signal aborts or the store closes. */
  subscribe<Event extends AnyEvent = AnyEvent>(options?: SubscribeOptions): AsyncIterable<LogEntry<Event>>
  /** Loads, decides, appends at the loaded revision; decides again after a lost race. */
  execute<Command, Event extends AnyEvent, State>(
    decider: Decider<Command, Event, State>,
    stream: string,
    command: Command,
    options?: ExecuteOptions,
  ): Promise<Executed<Event, State>>
  /** The state of a stream now, or as it was at a revision or an instant. */
  load<Event extends AnyEvent, State>(
    stream: string,
    fold: Fold<Event, State>,
    options?: LoadOptions,
  ): Promise<Loaded<State>>
  /** What projections make of the events. */
  readonly views: Views
  /** Closes the stream with a tombstone and erases its content; resolves when that is done. Safe to repeat. */
  forget(stream: string, options: ForgetOptions): Promise<ForgetReport>
  /** States of deciders, so that loads begin there. */
  readonly snapshots: Snapshots
  /** Work that is to be done once, and is not lost: a queue, and schedules. */
  readonly jobs: Jobs
  /** Named readers of the log that know how far they are: for reactions, and for what goes out of the store. */
  readonly consumers: Consumers
  /** What builds the views: its state, its runners, its versions; and replay. */
  readonly projections: Projections & Replays
  /** What events of a type must look like, whoever writes them; versions, and how old events come up to them. */
  readonly eventTypes: EventTypes
  /** Signed digests of the log, and proofs: what was recorded, and that nothing of it was changed. */
  readonly ledger: Ledger
  info(): Promise<StoreInfo>
  /** Ends the work in the background, takes nothing more, finishes what was accepted, ends subscriptions, closes the storage. */
  close(): Promise<void>
}

/** A store in this process, with what only its holder can do. */
export interface EmbeddedStore extends Store {
  /** Events that have left the storage for an object store, and are read as before. */
  readonly archive: Archive
  /**
   * Writes what has come since the last backup in this place, while the store is in use. All of them together are the log,
   * and what waits or is declared beside it; `restoreBackup` brings it back. It holds what the storage holds: segments of
   * the archive stay where they are.
   */
  backup(to: ObjectStore, options?: BackupOptions): Promise<Backup>
}

export interface StoreInfo {
  readonly logId: string
  /** Position of the newest event. */
  readonly head: number
  readonly storage: string
  /** Numbers that the storage keeps of itself, by name and unit. */
  readonly gauges: Readonly<Record<string, number>>
}

/** Takes the storage over, and closes it with the store. First finishes what an earlier process left of its forgetting. */
export async function openStore(bare: Storage, options: StoreOptions = {}): Promise<EmbeddedStore> {
  const { schemas, upcasters = [], deciders = [], backups = [], readOnly = false, observer, clock = Date.now } = options
  const random = options.random ?? secureRandom()
  const shapes = shapesOf(options.projections ?? [], bare)
  const closing = new AbortController()
  const storage = watched(bare, closing.signal, observer)
  const makeId = options.newId ?? (() => newId(random))
  const accepted = { ...bare, commit: storage.commit }
  const states = createKnownStates(bare, [...new Set(shapes.map(({ name }) => name))])
  const declaring = { add: (commit: Commit) => queue.add(commit) }
  if (options.archive) checkArchive(options.archive)
  checkList(backups, 'backups')
  backups.forEach(checkBackupPlace)
  const objects = options.archive && watchedObjects(options.archive.objects)
  const archivedSegments = objects && createArchived(storage, objects)
  const archived = archivedSegments?.open
  const cataloguing = { storage, archived, queue: declaring, newId: makeId, readOnly, closing: closing.signal }
  const { face, ...catalogue } = createCatalogue(cataloguing)
  const forms = { archived, catalogue, upcasters }
  const { commitDocuments } = bare.limits
  const tables = tableShapesOf(options.tables ?? [], bare, upcasters)
  const inline = createInline({ shapes, tables, states, commitDocuments, ...forms })
  const repeating = (to: Pick<CommitQueue, 'add'>) => addingRepeats(to, { storage, archived }, { random })
  const commits = createCommitQueue(accepted, inline)
  const queue: CommitQueue = { ...repeating(commits), close: commits.close }
  const making: Making = { newId: makeId, random, schemas, catalogue }
  const reading: Reading = { storage, ...forms, observer, tail: new Map() }
  const writing = { storage, queue, making, clock, ...forms }
  const views = { ...writing, shapes, states }
  const background: Background = {
    ...{ ...writing, reading, readOnly },
    closing: closing.signal,
    running: new Set(),
  }
  const sealing = createLedger(background, options.ledger)
  const archive = objects && { ...background, objects, retention: options.archive?.retention ?? {} }
  const forgetting: Erasing = {
    ...writing,
    async forgetInViews(stream) {
      await overtakeRunners(writing, stream)
      await forgetInViews(views, stream)
    },
    deletesOfViews: (stream) => deletesOfViews(views, stream),
    archive: archive &&
      archivedSegments && { ...createArchiving(archive), objects: archive.objects, ...archivedSegments },
    backups: backups.map(watchedObjects),
  }
  const snapshotted = createSnapshots(background, [...deciders, ...snapshottingOf(shapes)])
  const deciding: LoadsAndAppends = {
    readPage: (stream, options) => store.readPage(stream, options),
    append: (stream, events, options) => store.append(stream, events, options),
    resuming: snapshotted.resuming,
  }
  let closed: Promise<void> | undefined

  const write = async (
    to: Pick<CommitQueue, 'add'>,
    appends: readonly StreamEvents[],
    options: Omit<AppendOptions, 'expected'> = {},
  ) => {
    checkObject(options, 'options')
    options.signal?.throwIfAborted()
    if (readOnly) throw new StoreReadOnly()
    return append({ queue: to, making, upcasters, observer }, appends, options.condition)
  }
  const shutDown = async () => {
    await Promise.all([...background.running].map((running) => running.stop()))
    closing.abort()
    await queue.close()
    await bare.close()
  }

  const handlers = {
    [forgetKind]: forgetHandler(forgetting),
    ...snapshotted.handlers,
    ...sealing.handlers,
    ...(archive && { [archiveKind]: archiveHandler(archive) }),
  }

  const store: EmbeddedStore = {
    async append(stream, events, options = {}) {
      checkObject(options, 'options')
      const { expected = 'any' } = options
      const [appended] = await write(queue, [{ stream, events, expected }], options)
      return appended as Appended
    },
    appendMany: (appends, options) => write(queue, appends, options),
    async appendWithin(transaction, appends, options) {
      const { commitWithin, readWithin } = storage
      if (commitWithin === undefined || readWithin === undefined) {
        throw new Unsupported('appendWithin', `${bare.name} takes no part in transactions of others`)
      }
      const within = {
        ...readWithin(transaction),
        commit: (commits: readonly Commit[]) => Promise.all(commits.map((commit) => commitWithin(transaction, commit))),
      }
      return write(repeating({ add: (commit) => commitAlone(within, inline, commit) }), appends, options)
    },
    read<Event extends AnyEvent>(stream: string, options: ReadOptions = {}) {
      checkRead(stream, options)
      return flatten(
        eventPages((range) => eventPage<Event>(readingAs(reading, options), stream, range), options),
        options.limit,
      )
    },
    async readPage(stream, options = {}) {
      checkStream(stream)
      const range = pageRangeOf(options)
      options.signal?.throwIfAborted()
      return eventPage(readingAs(reading, options), stream, range)
    },
    async details(stream) {
      checkStream(stream)
      const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
      return head && detailsOf(head)
    },
    streams(type, options = {}) {
      checkStreamType(type)
      checkObject(options, 'options')
      return flatten(streamsPages((page) => streamsPage(reading, type, page), options))
    },
    async streamsPage(type, options = {}) {
      checkStreamType(type)
      checkObject(options, 'options')
      return streamsPage(reading, type, options)
    },
    streamTypes: () => storage.listStreamTypes(),
    async readBoundary<Event extends AnyEvent>(query: EventQuery, options = {}) {
      checkBoundaryRead(query, options)
      return readBoundary((page) => boundaryPage<Event>(reading, query, page), options)
    },
    async readBoundaryPage(query, options = {}) {
      checkBoundaryRead(query, options)
      return boundaryPage(reading, query, options)
    },
    readLog<Event extends AnyEvent>(options: LogReadOptions = {}) {
      checkLogRead(options)
      return flatten(
        logPages((range) => logPage<Event>(readingAs(reading, options), options, range), options),
        options.limit,
      )
    },
    async readLogPage(options = {}) {
      checkFilter(options, 'filter')
      const range = pageRangeOf(options)
      options.signal?.throwIfAborted()
      return logPage(readingAs(reading, options), options, range)
    },
    subscribe<Event extends AnyEvent>(options: SubscribeOptions = {}) {
      checkSubscribe(options)
      const signal = options.signal ? AbortSignal.any([options.signal, closing.signal]) : closing.signal
      return flatten(subscriptionPages<Event>(readingAs(reading, options), options, signal), undefined, signal)
    },
    views: createViews({ ...views, loads: deciding }),
    execute: (decider, stream, command, options) => execute(deciding, decider, stream, command, options),
    load: (stream, fold, options) => load(deciding, stream, fold, options),
    async forget(stream, options) {
      if (readOnly) throw new StoreReadOnly()
      return forget(forgetting, stream, options)
    },
    eventTypes: face,
    snapshots: snapshotted.face,
    jobs: createJobs(background, handlers),
    consumers: createConsumers(background),
    archive: createArchive(archive),
    backup: (to, options) => takeBackup(background, to, options),
    ledger: sealing.face,
    projections: {
      ...createProjections(background, shapes, states),
      ...createReplays({ ...background, shapes, states }),
    },
    async info() {
      const { logId, head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
      return { logId, head, storage: bare.name, gauges: bare.gauges() }
    },
    close() {
      closed ??= shutDown()
      return closed
    },
    [Symbol.asyncDispose]: () => store.close(),
  }

  const prepare = async () => {
    if (readOnly) return checkRegistered(storage, shapes)
    const own = [jobs, schedules, consumers, parkedItems, projectionStates, eventTypes, snapshots]
    await storage.declare([...own, segments, archives, ...sealing.collections])
    await register(writing, shapes)
    states.expire()
    await storage.declare(shapes.flatMap((shape) => [...collectionsOf(shape), parkedViews(shape)]))
    await resumeForgetting(forgetting)
    await sealing.begin()
  }
  try {
    await prepare()
  } catch (error) {
    await store.close()
    throw error
  }
  return store
}
