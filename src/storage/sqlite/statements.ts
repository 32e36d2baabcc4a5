/** Every SQL statement of the storage, one constant each; prepared once for a connection. */
import type { SqliteDatabase, SqliteStatement } from './driver.ts'

/** A row of the log; of a closed stream all but the tombstone is forgotten (3), whether or not it was emptied yet. */
const columns =
  's.name AS stream, l.revision, l.position, l.time, iif(s.closed = 1 AND l.state <> 1, 3, l.state) AS state, l.content'
const ofStream = 'FROM log l CROSS JOIN stream s ON s.stream_no = l.stream_no'
const record = `${columns} ${ofStream}`
/** In hex: of a row with it, drivers would spend half their time on making bytes. Without it, empty. */
const evidence = 'hex(l.salt) AS salt, hex(l.commitment) AS commitment, hex(l.entry) AS entry'

/** The event has all the tags of a JSON list. */
const tagged = `
  NOT EXISTS (SELECT 1 FROM json_each(?) o
    WHERE NOT EXISTS (SELECT 1 FROM tag x WHERE x.tag = o.value AND x.position = l.position))`

/** It is a tombstone, or its stream is not closed, or (with 1) that does not matter. */
const readable = `
  (l.state = 1 OR ? OR NOT EXISTS (SELECT 1 FROM stream s WHERE s.stream_no = l.stream_no AND s.closed = 1))`

/** Three ways to the same events: by one of their tags, by their kinds, by looking at all. Kinds is a JSON list. */
const byTag = `
  SELECT l.position FROM tag t CROSS JOIN log l ON l.position = t.position
  WHERE t.tag = ? AND t.kind_no IN (SELECT value FROM json_each(?)) AND t.position > ? AND t.position <= ?
    AND ${tagged} AND ${readable}`
const byKind = `
  SELECT l.position FROM log l INDEXED BY log_kind
  WHERE l.kind_no IN (SELECT value FROM json_each(?)) AND l.position > ? AND l.position <= ?
    AND ${tagged} AND ${readable}`
const byScan = `
  SELECT l.position FROM log l NOT INDEXED
  WHERE +l.kind_no IN (SELECT value FROM json_each(?)) AND l.position > ? AND l.position <= ?
    AND ${tagged} AND ${readable}`

const byIndex = `
  SELECT i.key, i.ord, d.version, d.body FROM document_index i CROSS JOIN document d ON d.document_no = i.document_no
  WHERE i.collection = ? AND i.name = ? AND i.equals = ?`

export const statements = {
  // Transactions
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  savepoint: 'SAVEPOINT inside',
  rollbackTo: 'ROLLBACK TO inside',
  release: 'RELEASE inside',
  userVersion: 'PRAGMA user_version',
  dataVersion: 'PRAGMA data_version',
  getMeta: 'SELECT value FROM meta WHERE key = ?',
  putMeta: 'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  deleteMeta: 'DELETE FROM meta WHERE key = ?',

  // Writing the log
  head: 'SELECT position, time FROM log ORDER BY position DESC LIMIT 1',
  findStream: 'SELECT stream_no, revision, position, time, closed FROM stream WHERE name = ?',
  insertStream: 'INSERT INTO stream (name, type, revision, position, time, closed) VALUES (?, ?, ?, ?, ?, ?)',
  updateStream: 'UPDATE stream SET revision = ?, position = ?, time = ?, closed = ? WHERE stream_no = ?',
  findEvent: `
    SELECT s.name AS stream, l.revision, l.position, l.time, l.state, l.content, l.salt, l.commitment
    FROM log l JOIN stream s ON s.stream_no = l.stream_no WHERE l.id = ?`,
  insertEvent: `
    INSERT INTO log (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  setEntry: 'UPDATE log SET entry = ? WHERE position = ?',
  insertTag: 'INSERT INTO tag (tag, position, kind_no) VALUES (?, ?, ?)',
  findKind: 'SELECT kind_no FROM kind WHERE stream_type = ? AND event_type = ? AND class = ?',
  insertKind: 'INSERT INTO kind (stream_type, event_type, class) VALUES (?, ?, ?)',

  // Reading the log. Ordinals have no gaps, so a range says how many rows come: SQLite would compile `LIMIT ?` anew each time
  timeAt: 'SELECT time FROM log WHERE position = ?',
  rowAt: 'SELECT position, time FROM log WHERE stream_no = ? AND revision = ?',
  streamForwards: `
    SELECT revision, position, time, state, content FROM log
    WHERE stream_no = ? AND revision > ? AND revision <= ? ORDER BY revision`,
  streamBackwards: `
    SELECT revision, position, time, state, content FROM log
    WHERE stream_no = ? AND revision > ? AND revision <= ? ORDER BY revision DESC`,
  logForwards: `SELECT ${record} WHERE l.position > ? AND l.position <= ? ORDER BY l.position`,
  logBackwards: `SELECT ${record} WHERE l.position > ? AND l.position <= ? ORDER BY l.position DESC`,
  logProven: `
    SELECT ${columns}, ${evidence} ${ofStream}
    WHERE l.position > ? AND l.position <= ? ORDER BY l.position`,
  /** Of kinds (a JSON list), and with 1 also of forgotten streams what was not emptied yet. */
  logForwardsOf: `
    SELECT ${record}
    WHERE l.position > ? AND l.position <= ? AND l.kind_no IN (SELECT value FROM json_each(?))
      AND (s.closed = 0 OR l.state = 1 OR ?)
    ORDER BY l.position`,
  logBackwardsOf: `
    SELECT ${record}
    WHERE l.position > ? AND l.position <= ? AND l.kind_no IN (SELECT value FROM json_each(?))
      AND (s.closed = 0 OR l.state = 1 OR ?)
    ORDER BY l.position DESC`,
  logAt: `SELECT ${record} WHERE l.position = ?`,
  evidenceAt: `SELECT ${evidence} FROM log l WHERE l.position = ?`,
  listStreams: `
    SELECT name, revision, position, time, closed FROM stream
    WHERE type = ? AND position > ? ORDER BY position LIMIT ?`,
  firstType: 'SELECT min(type) AS type FROM stream WHERE type > ?',

  // Searching the log
  findKinds: `
    SELECT kind_no, class FROM kind
    WHERE (json_array_length(?) = 0 OR stream_type IN (SELECT value FROM json_each(?)))
      AND (json_array_length(?) = 0 OR class = 1 OR (class = 0 AND event_type IN (SELECT value FROM json_each(?))))`,
  countTag:
    'SELECT count(*) AS count FROM (SELECT 1 FROM tag WHERE tag = ? AND position > ? AND position <= ? LIMIT ?)',
  countKinds: `
    SELECT count(*) AS count FROM (
      SELECT 1 FROM log INDEXED BY log_kind
      WHERE kind_no IN (SELECT value FROM json_each(?)) AND position > ? AND position <= ? LIMIT ?)`,
  anyByTag: `${byTag} LIMIT 1`,
  anyByKind: `${byKind} LIMIT 1`,
  forwardsByTag: `${byTag} ORDER BY t.position LIMIT ?`,
  forwardsByKind: `${byKind} ORDER BY l.position LIMIT ?`,
  forwardsByScan: `${byScan} ORDER BY l.position LIMIT ?`,
  backwardsByTag: `${byTag} ORDER BY t.position DESC LIMIT ?`,
  backwardsByKind: `${byKind} ORDER BY l.position DESC LIMIT ?`,
  backwardsByScan: `${byScan} ORDER BY l.position DESC LIMIT ?`,
  forgottenAfter: `
    SELECT s.name AS stream, l.revision, l.position
    FROM stream s CROSS JOIN log l ON l.stream_no = s.stream_no AND l.revision = s.revision - 1
    WHERE s.closed = 1 AND s.position > ? AND l.position > ? LIMIT 1`,

  // Erasing
  eraseRange: `
    SELECT position, revision, time, kind_no, state, id, content, commitment FROM log
    WHERE stream_no = ? AND revision >= ? AND revision <= ? ORDER BY revision LIMIT ?`,
  trimEvent: 'UPDATE log SET state = 2, content = ?, entry = ? WHERE position = ?',
  forgetEvent: `
    UPDATE log SET state = 3, kind_no = ?, id = NULL, content = NULL, salt = NULL, commitment = NULL, entry = ?
    WHERE position = ?`,
  deleteTag: 'DELETE FROM tag WHERE tag = ? AND position = ?',
  deleteUnusedKind:
    'DELETE FROM kind WHERE kind_no = ? AND NOT EXISTS (SELECT 1 FROM log WHERE log.kind_no = kind.kind_no)',

  // Documents
  findCollection: 'SELECT spec FROM collection WHERE name = ?',
  insertCollection: 'INSERT INTO collection (name, spec) VALUES (?, ?)',
  deleteCollection: 'DELETE FROM collection WHERE name = ?',
  queryCollection: 'SELECT key, version, body FROM document WHERE collection = ? AND key > ? ORDER BY key LIMIT ?',
  documentsOf: 'SELECT key FROM document WHERE collection = ? LIMIT ?',
  getDocument: 'SELECT version, body FROM document WHERE collection = ? AND key = ?',
  findDocument: 'SELECT document_no, version, attached FROM document WHERE collection = ? AND key = ?',
  insertDocument: 'INSERT INTO document (collection, key, version, body, attached) VALUES (?, ?, ?, ?, ?)',
  updateDocument: 'UPDATE document SET version = ?, body = ?, attached = ? WHERE document_no = ?',
  deleteDocument: 'DELETE FROM document WHERE document_no = ?',
  insertIndex: `
    INSERT INTO document_index (collection, name, equals, ord, key, document_no) VALUES (?, ?, ?, ?, ?, ?)`,
  deleteIndex: 'DELETE FROM document_index WHERE collection = ? AND name = ? AND equals = ? AND ord = ? AND key = ?',
  insertHeld: 'INSERT INTO document_stream (stream, document_no) VALUES (?, ?)',
  deleteHeld: 'DELETE FROM document_stream WHERE stream = ? AND document_no = ?',
  insertWords: 'INSERT INTO document_words (rowid, collection, words) VALUES (?, ?, ?)',
  deleteWords: 'DELETE FROM document_words WHERE rowid = ?',
  heldBy: `
    SELECT d.collection, d.key FROM document_stream h JOIN document d ON d.document_no = h.document_no
    WHERE h.stream = ? LIMIT ?`,
  queryForwards: `${byIndex} AND (i.ord, i.key) > (?, ?) AND i.ord <= ? ORDER BY i.ord, i.key LIMIT ?`,
  queryBackwards: `${byIndex} AND (i.ord, i.key) < (?, ?) AND i.ord >= ? ORDER BY i.ord DESC, i.key DESC LIMIT ?`,
  queryWords: `
    SELECT w.rowid AS document_no, d.key, d.version, d.body
    FROM document_words w CROSS JOIN document d ON d.document_no = w.rowid
    WHERE w.document_words MATCH ? AND w.rowid > ? ORDER BY w.rowid LIMIT ?`,

  // Checkpoints
  checkpointPassive: 'PRAGMA wal_checkpoint(PASSIVE)',
  checkpointRestart: 'PRAGMA wal_checkpoint(RESTART)',
  checkpointTruncate: 'PRAGMA wal_checkpoint(TRUNCATE)',
} as const

export type Statements = Readonly<Record<keyof typeof statements, SqliteStatement>>

export function prepareStatements(db: SqliteDatabase): Statements {
  const names = Object.keys(statements) as (keyof typeof statements)[]
  return Object.fromEntries(names.map((name) => [name, db.prepare(statements[name])])) as unknown as Statements
}
