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

  // Deciders, subscriptions, erasure
  executeTries: 10,
  subscribeTries: 20,
  wakeGapMs: 100,
  markIdleMs: 100,
  subscribeBackoffMs: 50,
  subscribeBackoffMsMax: 5_000,
  eraseRecords: 1_000,
} as const
