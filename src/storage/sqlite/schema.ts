/**
 * The file: its tables, and how a file of any age comes to have them. Migrations are numbered, only ever added to, and
 * run under SQLite's own write lock; `fixtures/` keeps a file of each number for good.
 */
import { isStoreError, NotAStore, SchemaTooNew, StorageFailed, StoreBusy, StoreMissing } from '../../core/errors.ts'
import { failureOf, type SqliteDatabase, type SqliteDriver, whenFree } from './driver.ts'

/** "DayB": marks the file as ours, so that no other application's database is ever written to. */
const applicationId = 0x44617942

const migrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

  -- A stream's newest event; closed: it was forgotten.
  CREATE TABLE stream (
    stream_no INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    revision INTEGER NOT NULL,
    position INTEGER NOT NULL,
    time INTEGER NOT NULL,
    closed INTEGER NOT NULL
  );
  CREATE INDEX stream_updated ON stream (type, position);
  CREATE INDEX stream_closed ON stream (position) WHERE closed = 1;

  -- The pairs of stream type and event type that occur, so that one narrow index serves filters by either.
  -- class 0: events; 1: tombstones; 2: forgotten events, whose type is gone (''). Numbers are never used again.
  CREATE TABLE kind (
    kind_no INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_type TEXT NOT NULL,
    event_type TEXT NOT NULL,
    class INTEGER NOT NULL,
    UNIQUE (stream_type, event_type, class)
  );

  -- Rows are never deleted. state 0: stored; 1: tombstone; 2: trimmed (content is { id, type, tags, segment });
  -- 3: forgotten (only the key, the time and the entry are left).
  CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    stream_no INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    time INTEGER NOT NULL,
    kind_no INTEGER NOT NULL,
    state INTEGER NOT NULL,
    id TEXT,
    content TEXT,
    salt BLOB,
    commitment BLOB,
    entry BLOB
  );
  CREATE UNIQUE INDEX log_revision ON log (stream_no, revision);
  CREATE UNIQUE INDEX log_id ON log (id);
  CREATE INDEX log_kind ON log (kind_no);

  CREATE TABLE tag (
    tag TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind_no INTEGER NOT NULL,
    PRIMARY KEY (tag, position)
  ) WITHOUT ROWID;

  CREATE TABLE collection (name TEXT PRIMARY KEY, spec TEXT NOT NULL) WITHOUT ROWID;

  -- attached: what else of the document is stored elsewhere, as JSON { index, streams, words }.
  CREATE TABLE document (
    document_no INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    body TEXT NOT NULL,
    attached TEXT NOT NULL,
    UNIQUE (collection, key)
  );
  CREATE TABLE document_index (
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    equals TEXT NOT NULL,
    ord TEXT NOT NULL,
    key TEXT NOT NULL,
    document_no INTEGER NOT NULL,
    PRIMARY KEY (collection, name, equals, ord, key)
  ) WITHOUT ROWID;
  CREATE TABLE document_stream (
    stream TEXT NOT NULL,
    document_no INTEGER NOT NULL,
    PRIMARY KEY (stream, document_no)
  ) WITHOUT ROWID;

  -- Words come normalised, with blanks between, so the plainest tokenizer leaves them as they are.
  CREATE VIRTUAL TABLE document_words
    USING fts5 (collection, words, tokenize = 'ascii', detail = 'column');
  INSERT INTO document_words (document_words, rank) VALUES ('secure-delete', 1);
  `,
]

export const schemaVersion = migrations.length

export interface OpenOptions {
  readonly file: string
  readonly driver: SqliteDriver
  readonly readOnly: boolean
  readonly busyTimeoutMs: number
}

/** Opens the file, makes it or brings it up to date, and asserts that what was asked of the engine holds. */
export async function openDatabase(options: OpenOptions): Promise<SqliteDatabase> {
  const { file, driver, readOnly, busyTimeoutMs } = options
  let db: SqliteDatabase | undefined
  try {
    const opened = driver(file, { readOnly })
    db = opened
    opened.exec('PRAGMA busy_timeout = 0')
    const found = await whenFree(busyTimeoutMs, () => checkFile(opened, file))
    if (readOnly) {
      if (found === 0) throw new StoreMissing(file)
      return opened
    }
    await whenFree(busyTimeoutMs, () => configure(opened, file))
    if (found < schemaVersion) await whenFree(busyTimeoutMs, () => migrate(opened, file))
    return opened
  } catch (error) {
    db?.close()
    throw openingError(error, options)
  }
}

/** The schema that the file has; 0 for a new one. Throws for what is no store, or a newer one. */
export function checkFile(db: SqliteDatabase, file: string): number {
  // In this order, for another process may make a store of the file meanwhile: whatever is seen of that, the owner is too.
  const tables = db.prepare('SELECT count(*) AS count FROM sqlite_schema').get() as { count: number }
  const found = pragma(db, 'user_version')
  const owner = pragma(db, 'application_id')
  if (owner !== applicationId) {
    if (owner !== 0 || found !== 0 || tables.count !== 0) {
      throw new NotAStore(file, 'it is an SQLite database of another application')
    }
    return 0
  }
  if (found > schemaVersion) throw new SchemaTooNew({ place: file, found, known: schemaVersion })
  return found
}

/**
 * An acknowledged append is on disk: WAL with synchronous FULL fsyncs each commit. Checkpoints are this storage's own
 * (`checkpoint.ts`). Deleted bytes are overwritten. The settings are read back, for SQLite drops silently what it cannot do.
 */
function configure(db: SqliteDatabase, file: string): void {
  const settings = { synchronous: 2, secure_delete: 1, fullfsync: 1, checkpoint_fullfsync: 1, wal_autocheckpoint: 1000 }
  const mode = db.prepare('PRAGMA journal_mode = WAL').get() as { journal_mode: string }
  if (mode.journal_mode !== 'wal') {
    throw new NotAStore(
      file,
      `the place allows no write-ahead log (journal mode ${mode.journal_mode}); use a local file`,
    )
  }
  for (const [name, value] of Object.entries(settings)) {
    db.exec(`PRAGMA ${name} = ${value}`)
    const actual = pragma(db, name)
    if (actual !== value) {
      throw new StorageFailed('open', new Error(`SQLite has ${name} = ${actual}, and ${value} is needed`))
    }
  }
  db.exec(`PRAGMA cache_size = ${-cacheKib}; PRAGMA journal_size_limit = ${walKeptBytes}`)
}

const cacheKib = 32_768
/** What a restarted write-ahead log keeps of its length, so that its file's size tells how much is in it. */
const walKeptBytes = 16_777_216

function migrate(db: SqliteDatabase, file: string): void {
  db.exec('BEGIN IMMEDIATE')
  try {
    // Another process may have been first.
    const found = checkFile(db, file)
    for (const sql of migrations.slice(found)) db.exec(sql)
    if (found === 0) {
      db.prepare('INSERT INTO meta (key, value) VALUES (?, ?)').run('log-id', crypto.randomUUID())
    }
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`)
    db.exec('COMMIT')
  } catch (error) {
    db.exec('ROLLBACK')
    throw error
  }
}

export function pragma(db: SqliteDatabase, name: string): number {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[0] ?? Number.NaN
}

function openingError(error: unknown, { file, readOnly }: OpenOptions): unknown {
  switch (failureOf(error)) {
    case 'busy':
      return new StoreBusy(`Another process holds ${file} locked`, 1_000, error)
    case 'not-a-database':
      return new NotAStore(file, 'it is no SQLite database', error)
    case 'corrupt':
      return new NotAStore(file, 'the file is damaged', error)
    case 'cannot-open':
      return readOnly
        ? new StoreMissing(file, error)
        : new StorageFailed(`open ${file} (is its folder there, and writable?)`, error)
    case 'read-only':
      return new StorageFailed(`open ${file} for writing`, error)
    case 'io':
    case 'full':
    case 'other':
      return new StorageFailed(`open ${file}`, error)
    case undefined:
      return isStoreError(error) ? error : new StorageFailed(`open ${file}`, error)
  }
}
