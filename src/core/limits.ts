/**
 * Every limit of Daybook, by name and unit; `docs/concepts.md` prints this table.
 * "Characters" are Unicode code points, "bytes" are UTF-8 bytes of the canonical form, "ms" are milliseconds.
 * A storage may allow less (`Storage.limits`); nothing allows more.
 */
export const limits = {
  // Names
  streamTypeCharacters: 64,
  streamIdCharacters: 200,
  eventTypeCharacters: 200,
  eventIdCharacters: 200,
  tagCharacters: 200,
  reasonCodeCharacters: 200,

  // One event, one append
  eventBytes: 1_048_576,
  eventTags: 20,
  jsonDepth: 64,
  appendEvents: 1_000,
  appendStreams: 49,
  appendBytes: 4_194_304,
  // What a commit may hold beside its events is documents, and those have a limit of their own
  commitBytes: 8_388_608,

  // Queries and conditions
  queryItems: 20,
  queryTypes: 100,
  queryTags: 20,

  // Pages: a page ends at whichever comes first, and holds at least one record; its bytes count one for each UTF-16 unit
  pageRecords: 1_000,
  pageRecordsDefault: 100,
  pageBytes: 4_194_304,
  iterateRecords: 250,
  scanRecords: 10_000,

  // Documents
  documentBytes: 262_144,
  documentKeyBytes: 900,
  documentStreams: 20,
  commitDocuments: 50,
  collectionIndexes: 8,
  indexFields: 4,
  indexValueBytes: 900,
  searchWords: 10,
  wordCharacters: 64,

  // Projections
  projectionNameCharacters: 40,
  replayLabelCharacters: 16,
  replayLabels: 100,
  projectionStateMs: 5_000,
  foldTries: 30,
  foldBackoffMs: 1,
  foldBackoffMsMax: 100,
  foldStreams: 10_000,
  foldViews: 10_000,
  foldViewCharacters: 16_777_216,
  catchUpEvents: 50_000,
  catchUpCharacters: 16_777_216,
  markEvents: 256,
  youngCharacters: 16_777_216,
  catchUpCommits: 64,
  checkpointMs: 250,
  settleMs: 2_000,
  parkTries: 3,
  parkBackoffMs: 50,
  parkedViews: 10_000,
  viewWaitMs: 5_000,
  viewWaitMsMost: 600_000,
  viewBackoffMs: 2,
  viewBackoffMsMax: 50,

  // The commit queue
  queueCommits: 10_000,
  queueBytes: 67_108_864,
  batchCommits: 256,
  batchBytes: 8_388_608,
  commitTries: 3,
  commitBackoffMs: 50,

  // HTTP
  requestBytes: 8_388_608,
  requestMs: 30_000,
  headersMs: 10_000,
  headerBytes: 16_384,
  shutdownMs: 10_000,
  sseKeepAliveMs: 15_000,
  sseProgressMs: 1_000,
  sseRetryMs: 1_000,
  feedSubscribers: 10_000,

  // The client: one try, its tries, and how long a feed may be silent
  clientMs: 30_000,
  clientTries: 8,
  clientBackoffMs: 50,
  clientBackoffMsMax: 2_000,
  sseSilenceMs: 45_000,

  // Access: how long a key is remembered, and what clocks may differ by
  keyCacheMs: 5_000,
  keyCacheEntries: 10_000,
  jwksMs: 5_000,
  jwksCooldownMs: 10_000,
  clockSkewMs: 30_000,

  // Work in the background: leases, jobs, consumers
  leaseMs: 15_000,
  leaseMsLeast: 100,
  leaseMsMost: 3_600_000,
  workPollMs: 1_000,
  workStopMs: 10_000,
  workParallel: 1_000,
  workParallelDefault: 10,
  workTries: 100,
  failureCharacters: 2_000,
  jobKeyCharacters: 200,
  jobTriesDefault: 10,
  jobBackoffMs: 1_000,
  jobBackoffMsMost: 3_600_000,
  jobKeepMs: 604_800_000,
  consumerTriesDefault: 5,
  consumerBackoffMs: 200,
  consumerBackoffMsMost: 60_000,
  consumerRetryMs: 3_600_000,
  consumerEvents: 1_000,
  consumerCheckpointMs: 100,
  consumers: 1_000,
  runningJobs: 1_000,
  schedules: 1_000,
  // Event types: how many there are, how long a process may go by what it has read of them, what a refusal tells
  eventTypes: 1_000,
  eventTypesMs: 2_000,
  upcastSteps: 100,
  schemaIssues: 20,
  schemaComparisons: 10_000,

  // How long a process goes by having asked for a snapshot
  snapshotAskMs: 60_000,
  snapshotsAsked: 10_000,

  // The ledger: what a signed note may have, what one step of sealing reads (in tiles of 256 events), what is verified at a time
  noteCharacters: 65_536,
  noteSignatures: 100,
  sealTiles: 16,
  sealEveryMs: 60_000,
  verifyParallel: 4,
  verifyThreadEvents: 100_000,
  publishTries: 20,
  retainDays: 36_500,
  // What is read of a journal export: a file, and how deep a value is nested
  exportFileBytes: 268_435_456,
  ionDepth: 128,
  // Objects: names, pages of their lists, how long writers of one folder wait for each other, what is left of a crash
  objectKeyBytes: 512,
  objectPage: 1_000,
  objectLockMs: 10_000,
  s3SilenceMs: 30_000,
  objectPartMs: 3_600_000,

  // The archive: what a segment holds, what is kept of those that were read, how much is done at the same time
  segmentEvents: 10_000,
  segmentBytes: 4_194_304,
  archiveCacheBytes: 67_108_864,
  archiveOpens: 4,
  archiveParallel: 8,
  archivePollMs: 200,
  /** Tries of writing a segment or a backup anew, while others do so too. */
  rewriteTries: 20,
  /** Names of objects that an entry of the trail tells. */
  trailNames: 100,

  // Subjects: how long a process goes by what it has read of one and its key, how many it remembers, what one step rotates
  subjectKeyMs: 5_000,
  subjectKeys: 10_000,
  rotateKeys: 50,
  exposedStreams: 10,

  // State snapshots: how many are kept by a schedule, how often one of a projection that is built anew is begun again
  statesKept: 12,
  statesTries: 3,

  // Deciders, subscriptions, erasure
  executeTries: 10,
  subscribeTries: 20,
  wakeGapMs: 100,
  markIdleMs: 100,
  subscribeBackoffMs: 50,
  subscribeBackoffMsMax: 5_000,
  eraseRecords: 1_000,
  /** Views that are deleted in the commit that closes their stream. */
  forgetViews: 20,
  scrubAgainMs: 60_000,
  /** Up to this size a file of SQLite is made anew when something was forgotten. */
  scrubVacuumBytes: 67_108_864,
} as const
