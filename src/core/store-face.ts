/** The store: what users hold, the whole of it at a glance. */
import type { Appended, AppendOptions, StreamEvents } from './append.ts'
import type { Archive } from './archive.ts'
import type { Backup, BackupOptions } from './backup.ts'
import type { Backups } from './backups.ts'
import type { Boundary, BoundaryPageOptions, BoundaryPart } from './boundary.ts'
import type { EventTypes } from './catalogue.ts'
import type { Consumers } from './consumers.ts'
import type { Decider, Executed, ExecuteOptions, Fold, Loaded, LoadOptions } from './decider.ts'
import type { AnyEvent, LogEntry, NewEvent, Recorded } from './event.ts'
import type { LogEntries, LogReadOptions, SubscribeOptions } from './feed.ts'
import type { Forget } from './forget-subject.ts'
import type { Jobs } from './jobs.ts'
import type { Ledger } from './ledger.ts'
import type { StreamsOptions, StreamsPage, StreamsPageOptions } from './listing.ts'
import type { ObjectStore } from './object-store.ts'
import type { Projections } from './projections.ts'
import type { EventQuery } from './query.ts'
import type { EventPage, ReadOptions } from './read.ts'
import type { Replays } from './replay.ts'
import type { Encryption } from './rotation.ts'
import type { Snapshots } from './snapshots.ts'
import type { States } from './states.ts'
import type { Transaction } from './storage.ts'
import type { StreamDetails } from './stream.ts'
import type { Views } from './view.ts'

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
  readonly forget: Forget
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
  /** Events that have left the storage for an object store, and are read as before. */
  readonly archive: Archive
  /** Backups in the place that the store was opened with. */
  readonly backups: Backups
  /** All views written down at a position, in the place that the store was opened with. */
  readonly states: States
  info(): Promise<StoreInfo>
  /** Ends the work in the background, takes nothing more, finishes what was accepted, ends subscriptions, closes the storage. */
  close(): Promise<void>
}

/** A store in this process, with what only its holder can do. */
export interface EmbeddedStore extends Store {
  /** The keys of what is encrypted. */
  readonly encryption: Encryption
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
