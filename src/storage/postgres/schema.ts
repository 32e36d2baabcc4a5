/**
 * The tables, and how a database of any age comes to have them. Migrations are numbered, only ever added to, and run one
 * process at a time. All names are qualified, so that nothing hangs on a search path.
 *
 * While servers are replaced one by one, old code works on a schema that new code has brought up to date. So a migration
 * says which code may go on, and leaves the functions of that code and what its statements name. One that ends the use by
 * older code drops their functions, and renames whatever has another meaning from now on. The table meta never changes.
 */
import {
  InvalidArgument,
  isStoreError,
  NotAStore,
  SchemaTooNew,
  StorageFailed,
  StoreMissing,
} from '../../core/errors.ts'
import { appendOf } from './append.ts'
import { appendDocumentsOf } from './append-documents.ts'
import { appendPlainOf } from './append-plain.ts'
import { type PostgresPool, patient, rowsOf, transact } from './driver.ts'
import { functionsOf } from './functions.ts'
import { statementsOf } from './statements.ts'

/** Texts compare by their bytes, whatever the database's own order is. */
const name = 'text COLLATE "C"'

export interface Migration {
  readonly sql: (s: string) => string
  /** Number of the oldest schema whose code may go on working beside it. */
  readonly oldest: number
}

export const migrations: readonly Migration[] = [
  { oldest: 1, sql: firstTables },
  { oldest: 1, sql: appendDocumentsOf },
]

function firstTables(s: string): string {
  return `
  CREATE TABLE ${s}.meta (name ${name} PRIMARY KEY, value text NOT NULL);

  -- A stream's newest event; closed: it was forgotten. No index has a column that changes with nearly each append, so
  -- that its update touches none (HOT). Streams are listed by era, and sorted within.
  CREATE TABLE ${s}.stream (
    stream_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name ${name} NOT NULL UNIQUE,
    type ${name} NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    time bigint NOT NULL,
    closed boolean NOT NULL,
    era bigint NOT NULL GENERATED ALWAYS AS (position >> 12) STORED
  ) WITH (fillfactor = 70);
  CREATE INDEX stream_updated ON ${s}.stream (type, era);

  -- The pairs of stream type and event type that occur, so that one narrow index serves filters by either.
  -- class 0: events; 1: tombstones; 2: forgotten events, whose type is gone ('').
  CREATE TABLE ${s}.kind (
    kind_no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_type ${name} NOT NULL,
    event_type ${name} NOT NULL,
    class smallint NOT NULL,
    UNIQUE (stream_type, event_type, class)
  );

  -- Rows are never deleted. state 0: stored; 1: tombstone; 2: trimmed (content is { id, type, tags, segment });
  -- 3: forgotten (only the key, the time and the entry are left).
  CREATE TABLE ${s}.log (
    position bigint PRIMARY KEY,
    stream_no bigint NOT NULL,
    revision bigint NOT NULL,
    time bigint NOT NULL,
    kind_no int NOT NULL,
    state smallint NOT NULL,
    id ${name} UNIQUE,
    content text,
    salt bytea,
    commitment bytea,
    entry bytea,
    UNIQUE (stream_no, revision)
  );
  CREATE INDEX log_kind ON ${s}.log (kind_no, position);

  CREATE TABLE ${s}.tag (
    tag ${name} NOT NULL,
    position bigint NOT NULL,
    kind_no int NOT NULL,
    PRIMARY KEY (tag, position) INCLUDE (kind_no)
  );

  CREATE TABLE ${s}.collection (name ${name} PRIMARY KEY, spec text NOT NULL);

  -- attached: what of the document stands in the two tables below, as { index: [[place, ord]], streams }.
  CREATE TABLE ${s}.document (
    document_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection ${name} NOT NULL,
    key ${name} NOT NULL,
    version text NOT NULL,
    body text NOT NULL,
    attached jsonb NOT NULL,
    words tsvector,
    UNIQUE (collection, key)
  ) WITH (fillfactor = 70);
  CREATE INDEX document_words ON ${s}.document USING gin (words) WHERE words IS NOT NULL;
  -- place: hash of collection, index and the values of equals, for an index row holds no more than 2,700 bytes.
  CREATE TABLE ${s}.document_index (
    place bytea NOT NULL,
    ord ${name} NOT NULL,
    key ${name} NOT NULL,
    document_no bigint NOT NULL,
    PRIMARY KEY (place, ord, key)
  );
  CREATE TABLE ${s}.document_stream (
    stream ${name} NOT NULL,
    document_no bigint NOT NULL,
    PRIMARY KEY (stream, document_no)
  );
  ${functionsOf(s)}
  ${appendOf(s)}
  ${appendPlainOf(s)}`
}

export interface OpenOptions {
  readonly pool: PostgresPool
  /** The storage's, for messages. */
  readonly place: string
  readonly schema: string
  readonly readOnly: boolean
  /** Those that the code knows. */
  readonly migrations: readonly Migration[]
}

interface Meta {
  /** The schema's number. */
  readonly version: number
  /** Of the oldest schema whose code may work on it. */
  readonly oldest: number
  readonly logId: string | undefined
}

/** A name that needs no quoting, and leaves room for the names that are made with it. */
export function checkSchema(schema: string): void {
  if (/^[a-z_][a-z0-9_]{0,53}$/.test(schema) && !schema.startsWith('pg_')) return
  throw new InvalidArgument(
    'schema',
    `"${schema}" must be 1 to 54 lower-case letters, digits and "_", and begin with neither a digit nor "pg_"`,
  )
}

/** Makes the tables or brings them up to date; answers with the id of the log. */
export async function openSchema(options: OpenOptions): Promise<string> {
  const { pool, place, schema, readOnly, migrations } = options
  // Another process may be at a long migration.
  const waiting = patient(pool)
  try {
    const found = await findSchema(waiting, options)
    if (found === 0 && readOnly) throw new StoreMissing(place)
    if (found < migrations.length && !readOnly) await migrate(options)
    const meta = await readMeta(waiting, schema)
    if (meta?.logId === undefined) throw new NotAStore(place, 'its log has no id')
    return meta.logId
  } catch (error) {
    throw openingError(error, place)
  }
}

/** The schema's number; 0 where there is none. Throws for what is no store, or one that is too new. */
async function findSchema(on: Pick<PostgresPool, 'query'>, options: OpenOptions): Promise<number> {
  const { place, schema, migrations } = options
  const [server] = await rowsOf<{ version: number; encoding: string; relations: number; meta: boolean }>(
    on,
    `SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
      (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1) AS relations,
      EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'value'
        WHERE n.nspname = $1 AND c.relname = 'meta') AS meta`,
    [schema],
  )
  const { version = 0, encoding = '', relations = 0, meta = false } = server ?? {}
  if (version < oldestServer) throw new NotAStore(place, `PostgreSQL 14 or newer is needed, this is ${version}`)
  if (encoding !== 'UTF8') throw new NotAStore(place, `the database is encoded in ${encoding}; UTF8 is needed`)
  if (relations === 0) return 0
  const foreign = `the schema "${schema}" holds tables of another application`
  if (!meta) throw new NotAStore(place, foreign)
  const found = await readMeta(on, schema)
  if (found === undefined) throw new NotAStore(place, foreign)
  const tooNew = tooNewFor(migrations.length, found, place)
  if (tooNew) throw tooNew
  return found.version
}

async function readMeta(on: Pick<PostgresPool, 'query'>, schema: string): Promise<Meta | undefined> {
  const rows = await rowsOf<{ name: string; value: string }>(on, statementsOf(schema).meta)
  const values = new Map(rows.map(({ name, value }) => [name, value]))
  const version = Number(values.get('schema-version') ?? 0)
  if (version === 0) return undefined
  return { version, oldest: Number(values.get('oldest-schema') ?? version), logId: values.get('log-id') }
}

function tooNewFor(known: number, { version: found, oldest }: Meta, place: string): SchemaTooNew | undefined {
  return known < oldest ? new SchemaTooNew({ place, found, known }) : undefined
}

/** SQL states of a function, table, column or schema that is not there. */
const missingCodes: ReadonlySet<unknown> = new Set(['42883', '42P01', '42703', '3F000'])

/** What the error of a statement comes from, where a newer Daybook has ended the use by older ones meanwhile. */
export async function explain({ pool, place, schema, migrations }: OpenOptions, error: unknown): Promise<unknown> {
  if (!missingCodes.has((error as { code?: unknown }).code)) return error
  const found = await readMeta(pool, schema).catch(() => undefined)
  return (found && tooNewFor(migrations.length, found, place)) ?? error
}

const oldestServer = 140_000

async function migrate(options: OpenOptions): Promise<void> {
  const { pool, schema, migrations } = options
  await transact(pool, async (client) => {
    await rowsOf(patient(client), "SELECT pg_advisory_xact_lock(hashtext('daybook migration'), hashtext($1))", [schema])
    // Another process may have been first.
    const found = await findSchema(client, options)
    if (found >= migrations.length) return
    if (found > 0) await client.query({ text: `LOCK TABLE ${schema}.meta IN ACCESS EXCLUSIVE MODE` })
    else if (!(await hasSchema(client, schema))) await client.query({ text: `CREATE SCHEMA ${schema}` })
    for (const { sql } of migrations.slice(found)) await client.query({ text: sql(schema) })
    await rowsOf(
      client,
      `INSERT INTO ${schema}.meta (name, value) VALUES ('schema-version', $1), ('oldest-schema', $2), ('log-id', $3)
      ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE meta.name <> 'log-id'`,
      [migrations.length, migrations.at(-1)?.oldest, crypto.randomUUID()],
    )
  })
}

/** Asking needs no right to make one. */
async function hasSchema(client: Pick<PostgresPool, 'query'>, schema: string): Promise<boolean> {
  const [row] = await rowsOf<{ there: boolean }>(client, 'SELECT to_regnamespace($1) IS NOT NULL AS there', [schema])
  return row?.there === true
}

function openingError(error: unknown, place: string): unknown {
  if (isStoreError(error)) return error
  const { code } = error as { code?: unknown }
  if (code === '3D000') return new StoreMissing(place, error)
  // Of a server with several addresses, the first one's refusal says enough.
  return new StorageFailed(`open ${place}`, error instanceof AggregateError ? error.errors[0] : error)
}
