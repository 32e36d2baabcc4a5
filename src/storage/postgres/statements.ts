/** Every SQL statement of the storage, one constant each, for the schema that they run in. */
import { limits } from '../../core/limits.ts'

export type Statements = ReturnType<typeof statementsOf>

export function statementsOf(s: string) {
  /** Of a closed stream all but the tombstone is forgotten (3), whether or not it was emptied yet. */
  const record = `
    x.name AS stream, l.revision, l.position, l.time,
    CASE WHEN x.closed AND l.state <> 1 THEN 3 ELSE l.state END AS state,
    CASE WHEN x.closed AND l.state <> 1 THEN NULL ELSE l.content END AS content`
  /** OFFSET 0 keeps it a probe for each row of the page, where the planner would read all streams for one page. */
  const itsStream = `
    CROSS JOIN LATERAL (SELECT y.name, y.closed FROM ${s}.stream y WHERE y.stream_no = l.stream_no OFFSET 0) x`
  const evidence = 'l.salt, l.commitment, l.entry'
  const noEvidence = 'NULL AS salt, NULL AS commitment, NULL AS entry'

  /** Of rows in their order those that are a page by their bytes; lengths are known without reading large contents. */
  const cut = (rows: string, order: string) => `
    SELECT * FROM (
      SELECT r.*, row_number() OVER w AS number,
        sum(coalesce(octet_length(r.content), 0)) OVER (w ROWS UNBOUNDED PRECEDING) AS bytes
      FROM (${rows}) r WINDOW w AS (ORDER BY r.${order})) counted
    WHERE bytes <= ${limits.pageBytes} OR number = 1`

  /** Revisions after $2, up to and with $3, recorded at or before $4; $5 rows. */
  const streamPage = (direction: string) => `
    SELECT h.revision AS head, h.head_time, h.head_position, h.closed, h.until, r.revision, r.position, r.time, r.state,
      r.content
    FROM (
      SELECT stream_no, revision, time AS head_time, position AS head_position, closed,
        CASE WHEN closed THEN greatest($2, revision - 1) ELSE $2 END AS after,
        least(revision, $3, CASE WHEN $4::bigint IS NOT NULL THEN ${s}.revision_at_1($4, stream_no, revision) END)
          AS until
      FROM ${s}.stream WHERE name = $1) h
    LEFT JOIN LATERAL (${cut(
      `
      SELECT l.revision, l.position, l.time, l.state, l.content FROM ${s}.log l
      WHERE l.stream_no = h.stream_no AND l.revision > h.after AND l.revision <= h.until
      ORDER BY l.revision ${direction} LIMIT $5`,
      `revision ${direction}`,
    )}) r ON true
    ORDER BY r.revision ${direction}`

  /** Positions after $1, up to and with $2: numbers that the planner sees, so that it knows how few rows they are. */
  const within = (table: string) => `${table}.position > $1 AND ${table}.position <= $2`

  const newest = `(SELECT coalesce(max(position), 0) AS head FROM ${s}.log) h`

  const logPage = (direction: string, proofs: string) => `
    SELECT h.head, r.* FROM ${newest}
    LEFT JOIN (${cut(
      `SELECT ${record}, ${proofs} FROM ${s}.log l ${itsStream} WHERE ${within('l')}`,
      `position ${direction}`,
    )}) r ON true
    ORDER BY r.position ${direction}`

  /** Kinds by stream types ($4) and event types ($5), each where any were asked for. */
  const kinds = (classes: string) => `
    SELECT kind_no FROM ${s}.kind
    WHERE class IN (${classes}) AND (cardinality($4::text[]) = 0 OR stream_type = ANY ($4))
      AND (class > 0 OR cardinality($5::text[]) = 0 OR event_type = ANY ($5))`

  /** The first $3 entries of each kind, so that a rare one is found by the index and of a common one few are looked at. */
  const ofKinds = (classes: string, direction: string) => `
    SELECT k.position FROM (${kinds(classes)}) asked CROSS JOIN LATERAL (
      SELECT l.position FROM ${s}.log l
      WHERE l.kind_no = asked.kind_no AND ${within('l')}
        AND (cardinality($5::text[]) = 0 OR l.state = 1
          OR NOT (SELECT y.closed FROM ${s}.stream y WHERE y.stream_no = l.stream_no))
      ORDER BY l.position ${direction} LIMIT $3) k`

  /** By types ($5) of events or of streams ($4) alone. Where no event type is asked for, forgotten events pass too. */
  const byKind = (direction: string) => `${ofKinds('0, 1, 2', direction)} WHERE cardinality($6::text[]) = 0`

  /** By all of the tags ($6). A tombstone has none, and passes all the same. */
  const byTag = (direction: string) => `
    (SELECT t.position FROM ${s}.tag t
    WHERE t.tag = ($6::text[])[1] AND ${within('t')} AND t.kind_no = ANY (ARRAY(${kinds('0')}))
      AND (cardinality($6) = 1 OR cardinality($6)
        = (SELECT count(*) FROM ${s}.tag o WHERE o.tag = ANY ($6) AND o.position = t.position))
      AND NOT (
        SELECT y.closed FROM ${s}.log l JOIN ${s}.stream y ON y.stream_no = l.stream_no WHERE l.position = t.position)
    ORDER BY t.position ${direction} LIMIT $3)
    UNION ALL ${ofKinds('1', direction)}`

  const foundPage = (positions: string, direction: string, proofs: string) => `
    WITH found AS MATERIALIZED (SELECT position FROM (${positions}) p ORDER BY position ${direction} LIMIT $3)
    SELECT h.head, (SELECT count(*) FROM found) AS found, r.* FROM ${newest}
    LEFT JOIN (${cut(
      `
      SELECT ${record}, ${proofs} FROM found f JOIN ${s}.log l ON l.position = f.position ${itsStream}`,
      `position ${direction}`,
    )}) r ON true
    ORDER BY r.position ${direction}`

  const byIndex = `
    SELECT i.key, i.ord, d.version, d.body FROM ${s}.document_index i
    JOIN ${s}.document d ON d.document_no = i.document_no WHERE i.place = $1`

  /** For each direction, without evidence and with it. */
  const pages = <Page>(page: (direction: string, proofs: string) => Page) => ({
    forwards: { plain: page('ASC', noEvidence), proven: page('ASC', evidence) },
    backwards: { plain: page('DESC', noEvidence), proven: page('DESC', evidence) },
  })

  return {
    /** The schema's number, the oldest whose code may still work on it, and the log's id. */
    meta: `SELECT name, value FROM ${s}.meta WHERE name IN ('schema-version', 'oldest-schema', 'log-id')`,

    // Writing
    append: `SELECT ${s}.append_1($1, $2, $3, $4, $5, $6, $7, $8) AS outcomes`,
    appendPlain: `
      SELECT ${s}.append_plain_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AS answer`,
    appendDocuments: `
      SELECT ${s}.append_documents_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
        $18, $19, $20, $21, $22, $23, $24, $25, $26) AS answer`,
    /**
     * What kind of transaction a client is in. While it then idles it holds the log for itself, and so is ended soon,
     * unless the session has a narrower limit.
     */
    within: `
      SELECT current_setting('transaction_isolation') AS isolation,
        current_setting('transaction_read_only') = 'on' AS read_only,
        (SELECT value FROM ${s}.meta WHERE name = 'log-id') AS log_id,
        set_config('idle_in_transaction_session_timeout', CASE
          WHEN current_setting('idle_in_transaction_session_timeout')::interval BETWEEN '1 ms' AND $1::text::interval
          THEN current_setting('idle_in_transaction_session_timeout') ELSE $1::text END, true)`,
    notify: 'SELECT pg_notify($1, $2)',
    lockLog: `SELECT ${s}.lock_log_1()`,

    // Reading the log
    head: `SELECT head FROM ${newest}`,
    /** Where a range ends: at the head, at $1, or before what was recorded after the instant $2. */
    end: `
      SELECT least(head, $1, CASE WHEN $2::bigint IS NOT NULL THEN ${s}.position_at_1($2, head) END) AS until
      FROM ${newest}`,
    streamPage: { forwards: streamPage('ASC'), backwards: streamPage('DESC') },
    logPage: pages(logPage),
    logColumns: `SELECT * FROM ${s}.log_page_1($1, $2, $3)`,
    kindPage: pages((direction, proofs) => foundPage(byKind(direction), direction, proofs)),
    tagPage: pages((direction, proofs) => foundPage(byTag(direction), direction, proofs)),
    /** Events after $1 that any item of a query ($2) asks for, $3 of them. */
    boundaryPage: foundPage(
      `SELECT DISTINCT m.position
      FROM ${newest}, jsonb_array_elements($2::jsonb) item, ${s}.matches_1(item, $1, h.head, $3) m (position)`,
      'ASC',
      noEvidence,
    ),
    listStreams: `
      SELECT x.name, x.revision, x.position, x.time, x.closed
      FROM (SELECT greatest($2::bigint, CASE WHEN $3::bigint IS NOT NULL THEN ${s}.position_at_1($3 - 1, head) END)
        AS after FROM ${newest}) a
      CROSS JOIN LATERAL (
        SELECT * FROM ${s}.stream y WHERE y.type = $1 AND y.era >= a.after >> 12 AND y.position > a.after
        ORDER BY y.era, y.position LIMIT $4) x
      ORDER BY x.position`,
    listStreamTypes: `
      WITH RECURSIVE known AS (
        SELECT min(type) AS type FROM ${s}.stream
        UNION ALL
        SELECT (SELECT min(x.type) FROM ${s}.stream x WHERE x.type > known.type) FROM known WHERE type IS NOT NULL)
      SELECT type FROM known WHERE type IS NOT NULL`,
    positionOf: `
      SELECT l.position FROM ${s}.stream x JOIN ${s}.log l ON l.stream_no = x.stream_no
      WHERE x.name = $1 AND l.revision = $2`,

    // Erasing
    findStream: `SELECT stream_no, revision, closed, type FROM ${s}.stream WHERE name = $1`,
    eraseRange: `
      SELECT l.position, l.revision, l.time, l.kind_no, l.state, l.content, l.commitment FROM ${s}.log l
      WHERE l.stream_no = $1 AND l.revision >= $2 AND l.revision <= $3 ORDER BY l.revision LIMIT $4`,
    trimEvents: `
      UPDATE ${s}.log l SET state = 2, content = e.content, entry = e.entry
      FROM unnest($1::bigint[], $2::text[], $3::bytea[]) e (position, content, entry) WHERE l.position = e.position`,
    forgetEvents: `
      UPDATE ${s}.log l SET state = 3, kind_no = ${s}.kind_number_1($4, '', 2), id = NULL, content = NULL, salt = NULL,
        commitment = NULL, entry = e.entry
      FROM unnest($1::bigint[], $2::bytea[]) e (position, entry)
      WHERE l.position = e.position AND l.stream_no = $3`,
    deleteTags: `
      DELETE FROM ${s}.tag t USING unnest($1::text[], $2::bigint[]) e (tag, position)
      WHERE t.tag = e.tag AND t.position = e.position`,
    deleteUnusedKinds: `
      DELETE FROM ${s}.kind k
      WHERE k.kind_no = ANY ($1::int[]) AND NOT EXISTS (SELECT FROM ${s}.log l WHERE l.kind_no = k.kind_no)`,
    heldBy: `
      SELECT d.document_no, d.collection, d.key FROM ${s}.document_stream h
      JOIN ${s}.document d ON d.document_no = h.document_no WHERE h.stream = $1 LIMIT $2`,
    lockDocuments: `SELECT ${s}.lock_documents_1($1)`,
    /** Those that still hold it, now that nobody else writes them. */
    deleteHeld: `
      SELECT ${s}.delete_document_1(h.document_no) FROM ${s}.document_stream h
      WHERE h.stream = $1 AND h.document_no = ANY ($2::bigint[])`,
    documentsOf: `SELECT key FROM ${s}.document WHERE collection = $1 LIMIT $2`,
    deleteDocuments: `
      SELECT ${s}.delete_document_1(d.document_no) FROM ${s}.document d
      WHERE d.collection = $1 AND d.key = ANY ($2::text[])`,
    deleteCollection: `DELETE FROM ${s}.collection WHERE name = $1`,
    horizon: 'SELECT pg_current_xact_id()::text AS xid',
    /** Whether a session, a standby or a prepared transaction may still see what is older than $1. */
    heldUp: `
      SELECT EXISTS (
        SELECT FROM (
          SELECT backend_xmin FROM pg_stat_activity
          WHERE (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid()
          UNION ALL SELECT xmin FROM pg_replication_slots
          UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()) holders (xmin)
        WHERE xmin IS NOT NULL AND age(xmin) > age($1::xid8::xid)) AS held_up`,
    /** Whether this role may: the owner of the tables or of the database, from 17 on whoever was granted it. */
    mayVacuum: `
      SELECT pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE') OR CASE
        WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(c.oid, 'MAINTAIN')
        ELSE false END AS may_vacuum
      FROM pg_class c, pg_database d WHERE c.oid = '${s}.log'::regclass AND d.datname = current_database()`,
    vacuum: `VACUUM ${s}.log, ${s}.tag, ${s}.kind, ${s}.document, ${s}.document_index, ${s}.document_stream`,

    // Restoring
    findEnd: `
      SELECT coalesce(max(position), 0) AS head, EXISTS (SELECT FROM ${s}.meta WHERE name = 'restoring') AS restoring
      FROM ${s}.log`,
    startRestoring: `INSERT INTO ${s}.meta (name, value) VALUES ('restoring', '1') ON CONFLICT (name) DO NOTHING`,
    findRevisions: `SELECT name, revision FROM ${s}.stream WHERE name = ANY ($1::text[])`,
    restoreStreams: `
      INSERT INTO ${s}.stream (name, type, revision, position, time, closed)
      SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])
      ON CONFLICT (name) DO UPDATE SET
        revision = excluded.revision, position = excluded.position, time = excluded.time, closed = excluded.closed`,
    restoreEvents: `
      INSERT INTO ${s}.log (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment, entry)
      SELECT e.position, x.stream_no, e.revision, e.time, ${s}.kind_number_1(x.type, e.type, e.class), e.state, e.id,
        e.content, e.salt, e.commitment, e.entry
      FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::int[], $7::int[], $8::text[],
        $9::text[], $10::bytea[], $11::bytea[], $12::bytea[])
        e (position, stream, revision, time, type, class, state, id, content, salt, commitment, entry)
      JOIN ${s}.stream x ON x.name = e.stream`,
    restoreTags: `
      INSERT INTO ${s}.tag (tag, position, kind_no)
      SELECT e.tag, e.position, l.kind_no FROM unnest($1::text[], $2::bigint[]) e (tag, position)
      JOIN ${s}.log l ON l.position = e.position`,

    // Documents
    getDocuments: `
      SELECT k.number, d.version, d.body
      FROM unnest($1::text[], $2::text[]) WITH ORDINALITY k (collection, key, number)
      JOIN ${s}.document d ON d.collection = k.collection AND d.key = k.key`,
    findCollections: `SELECT name, spec FROM ${s}.collection WHERE name = ANY ($1::text[])`,
    insertCollections: `
      INSERT INTO ${s}.collection (name, spec) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING`,
    queryIndex: {
      forwards: `${byIndex} AND (i.ord, i.key) > ($2, $3) AND i.ord <= $4 ORDER BY i.ord, i.key LIMIT $5`,
      backwards: `${byIndex} AND (i.ord, i.key) < ($2, $3) AND i.ord >= $4 ORDER BY i.ord DESC, i.key DESC LIMIT $5`,
    },
    queryCollection: `
      SELECT key, version, body FROM ${s}.document WHERE collection = $1 AND key > $2 ORDER BY key LIMIT $3`,
    queryWords: `
      SELECT d.document_no, d.key, d.version, d.body FROM ${s}.document d
      WHERE d.words @@ $1::tsquery AND d.document_no > $2 ORDER BY d.document_no LIMIT $3`,
  }
}
