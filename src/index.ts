/** The front door. Loads no storage and nothing of any runtime. */
export type { AppConsumer, AppDefinition, AppPlaces } from './core/app.ts'
export { defineApp } from './core/app.ts'
export type { Appended, AppendOptions, StreamEvents } from './core/append.ts'
export type {
  Archive,
  ArchivedSegment,
  ArchiveOptions,
  ArchivePlan,
  ArchiveReport,
  ArchiveRunOptions,
  ArchiveVerification,
  SegmentListOptions,
  SegmentsPage,
} from './core/archive.ts'
export type { Backup, BackupOptions } from './core/backup.ts'
export type { Backups } from './core/backups.ts'
export type { Boundary, BoundaryPageOptions, BoundaryPart } from './core/boundary.ts'
export type { DeclareOptions, EventTypes } from './core/catalogue.ts'
export type { RunnerOptions } from './core/catch-up.ts'
export type {
  ConsumerOptions,
  ConsumerState,
  ConsumerStatus,
  EventContext,
  EventHandler,
  Handled,
  StartAt,
} from './core/consumer.ts'
export type { Consumer } from './core/consumer-run.ts'
export type { Consumers } from './core/consumers.ts'
export type { Decider, Executed, ExecuteOptions, Fold, Loaded, LoadOptions } from './core/decider.ts'
export type { Delivery } from './core/delivery.ts'
export type { Digest, OpenedDigest, SignedDigest } from './core/digest.ts'
export { openDigest, readDigest } from './core/digest.ts'
export { wordsOf } from './core/document.ts'
export type { Effect } from './core/effect.ts'
export type { EncryptionOptions } from './core/encryption.ts'
export * from './core/encryption-errors.ts'
export * from './core/errors.ts'
export type { AnyEvent, Envelope, EventOf, ForgottenEntry, LogEntry, Meta, NewEvent, Recorded } from './core/event.ts'
export { causedBy } from './core/event.ts'
export type { EventType, EventTypeDeclaration, EventTypeVersion } from './core/event-type.ts'
export type { ExportOptions } from './core/export.ts'
export { exportLog } from './core/export.ts'
export type { Failure } from './core/failure.ts'
export type { LogEntries, LogReadOptions, SubscribeOptions } from './core/feed.ts'
export type { FindSubjectsOptions, FoundSubjects } from './core/find-subjects.ts'
export type { Fault, FaultKind, StateCounts } from './core/finding.ts'
export type { ForgetOptions, ForgetReport } from './core/forget.ts'
export type { Forget, ForgetSubject, SubjectReport } from './core/forget-subject.ts'
export { derivedId } from './core/id.ts'
export type { AddedJob, Job, JobEnd, JobOptions, JobState } from './core/job.ts'
export type { JobListOptions, Jobs, JobsPage } from './core/jobs.ts'
export type { JsonSchema } from './core/json-schema.ts'
export type { Replayed } from './core/label.ts'
export type { Held } from './core/lease.ts'
export type { EventPlace, HistoryOptions, Ledger, LedgerOptions, ProveOptions } from './core/ledger.ts'
export * from './core/ledger-errors.ts'
export { limits } from './core/limits.ts'
export type { StreamsOptions, StreamsPage, StreamsPageOptions } from './core/listing.ts'
export type { MasterKey } from './core/master-key.ts'
export { masterKeyFrom, masterKeyOf } from './core/master-key.ts'
export type { LedgerKeys, Signer, Verified } from './core/note.ts'
export { newLedgerKeys, newWitnessKeys, signerOf } from './core/note.ts'
export type {
  ListedObject,
  ObjectPage,
  ObjectQuery,
  ObjectStore,
  PutCondition,
  PutOutcome,
  StoredObject,
} from './core/object-store.ts'
export type { EndedCall, Observer, Tracer } from './core/observe.ts'
export type { Parked, ParkedPage, ParkedPageOptions } from './core/parked.ts'
export type { AnyProjection, Lifecycle, Projection, Seen } from './core/projection.ts'
export { projection } from './core/projection.ts'
export * from './core/projection-errors.ts'
export type { BuildProgress, ProjectionStatus } from './core/projection-status.ts'
export type {
  ParkedOptions,
  ParkedViews,
  Projections,
  RebuildOptions,
  ReplayedViews,
  ReplayParkedOptions,
} from './core/projections.ts'
export type { CheckedProof, ConsistencyProof, EventProof } from './core/proof.ts'
export { checkConsistency, checkProof } from './core/proof.ts'
export type { PublishOptions } from './core/publish.ts'
export { publishedCheckpoints } from './core/publish.ts'
export type { AppendCondition, EventQuery, LogFilter, QueryItem } from './core/query.ts'
export type { EventPage, ReadOptions, Until } from './core/read.ts'
export type { Remnant } from './core/remnant.ts'
export type { ReplayOptions, ReplayReport, Replays } from './core/replay.ts'
export * from './core/request-errors.ts'
export type { RestoreOptions } from './core/restore.ts'
export { checkBackup, restoreBackup } from './core/restore.ts'
export type { Retention, RetentionPolicy } from './core/retention.ts'
export type { Encryption, EncryptionStatus, Rotated, RotateOptions } from './core/rotation.ts'
export type { Schedule, ScheduleOptions } from './core/schedule.ts'
export type { EventFrom, EventSchemas } from './core/schema.ts'
export type { SealedDigest } from './core/seal.ts'
export type { Snapshot, SnapshotPolicy } from './core/snapshot.ts'
export type {
  SnapshotDropOptions,
  SnapshotListOptions,
  Snapshots,
  SnapshotsPage,
  Snapshotting,
  TakeAllOptions,
  TakenAll,
} from './core/snapshots.ts'
export type { StateSnapshot, StatesOf } from './core/state-snapshot.ts'
export type { StatesTakeOptions } from './core/state-taking.ts'
export type { States, StatesProgress, StatesRestored, StatesRestoreOptions } from './core/states.ts'
export type { Direction, Storage, Transaction } from './core/storage.ts'
export type { EmbeddedStore, Store, StoreInfo } from './core/store.ts'
export { openStore } from './core/store.ts'
export type { StoreOptions } from './core/store-options.ts'
export type { StreamDetails } from './core/stream.ts'
export type { PersonalData, Subjects } from './core/subject.ts'
export type { AnyTables, Tables } from './core/tables.ts'
export { tables } from './core/tables.ts'
export type { Clock } from './core/time.ts'
export type { UpcastStep } from './core/upcast-step.ts'
export type { Upcaster } from './core/upcaster.ts'
export type { VerifyOptions, VerifyReport } from './core/verify.ts'
export type { ExportReport, VerifyExportOptions } from './core/verify-export.ts'
export { verifyExport } from './core/verify-export.ts'
export type { RecordsReport, VerifyRecordsOptions } from './core/verify-records.ts'
export { verifyRecords } from './core/verify-records.ts'
export type { GetOptions, ViewPage, ViewQuery, ViewSearch, Views } from './core/view.ts'
export type { ViewOf } from './core/view-of.ts'
export type { WitnessEvent, WitnessOptions } from './core/witness.ts'
export { witness } from './core/witness.ts'
export * from './core/work-errors.ts'
export type { JobHandler, JobHandlers, JobTask, Worker, WorkOptions } from './core/worker.ts'
