/** What a store is opened with. */
import type { ArchiveOptions } from './archive.ts'
import type { Random } from './id.ts'
import type { LedgerOptions } from './ledger.ts'
import type { ObjectStore } from './object-store.ts'
import type { Observer } from './observe.ts'
import type { AnyProjection } from './projection.ts'
import type { EventSchemas } from './schema.ts'
import type { Snapshotting } from './snapshots.ts'
import type { AnyTables } from './tables.ts'
import type { Clock } from './time.ts'
import type { Upcaster } from './upcaster.ts'

export interface StoreOptions {
  /** What the data of each event type must look like, in any library that speaks Standard Schema. */
  readonly schemas?: EventSchemas
  /** How old events are read as new ones, in order. */
  readonly upcasters?: readonly Upcaster[]
  /** How events become views; also old versions that are still in use. */
  readonly projections?: readonly AnyProjection[]
  /** Those whose snapshots are taken here, by this store's workers or by name. */
  readonly deciders?: readonly Snapshotting[]
  /** Tables of your own in the storage's database (SQLite, PostgreSQL), written in the transaction that records the events. */
  readonly tables?: readonly AnyTables[]
  /** Who signs digests of the log, and how often. */
  readonly ledger?: LedgerOptions
  /** Where old events go, and which. */
  readonly archive?: ArchiveOptions
  /** Where `backups` are kept; it stays open when the store is closed. */
  readonly backups?: ObjectStore
  /** Where state snapshots are kept; likewise. */
  readonly states?: ObjectStore
  /** Refuses every write, and leaves unfinished forgetting to the next opening for writing. */
  readonly readOnly?: boolean
  /** Told of every call, for traces and metrics. */
  readonly observer?: Observer
  /** What time it is, for what is due, and is yet to come; the time of events is the storage's. Default: the machine's. */
  readonly clock?: Clock
  /** Where event ids come from; default UUIDv7. */
  readonly newId?: () => string
  /** Where salts come from; default the platform's secure source. */
  readonly random?: Random
}
