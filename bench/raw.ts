/**
 * The raw engine: what somebody would write by hand for the same rows in the same tables with the same durability, and
 * without any check. Its tables are those of an empty Daybook file.
 */
import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import Database from 'better-sqlite3'
import { type SqliteDatabase, sqliteStorage } from 'daybook/sqlite'
import { eventType, sampleData } from './sample.ts'

export interface RawEngine {
  /** One transaction with one event for each of the streams. */
  append(streams: readonly number[]): void
  /** One transaction with `count` events of one stream. */
  appendBatch(stream: number, count: number): void
  /** The events of a stream, parsed. */
  load(stream: number): readonly { readonly data: unknown }[]
  /** All events in order of position, parsed, page by page; answers how many. */
  scan(): number
  close(): void
}

export async function openRaw(file: string, driver = 'node:sqlite'): Promise<RawEngine> {
  await (await sqliteStorage({ file })).close()
  const db = (driver === 'node:sqlite' ? new DatabaseSync(file) : new Database(file)) as SqliteDatabase
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768')
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  db.exec(
    `INSERT OR IGNORE INTO kind (kind_no, stream_type, event_type, class) VALUES (1, 'permit', '${eventType}', 0)`,
  )
  const insertStream = db.prepare(`INSERT INTO stream VALUES (?, ?, 'permit', ?, ?, ?, 0)`)
  const updateStream = db.prepare('UPDATE stream SET revision = ?, position = ?, time = ? WHERE stream_no = ?')
  const insertEvent = db.prepare(`
    INSERT INTO log (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment)
    VALUES (?, ?, ?, ?, 1, 0, ?, ?, ?, ?)`)
  const selectStream = db.prepare(`
    SELECT revision, position, time, content FROM log
    WHERE stream_no = (SELECT stream_no FROM stream WHERE name = ?) ORDER BY revision`)
  const selectPage = db.prepare(`
    SELECT s.name, l.revision, l.position, l.time, l.content
    FROM log l JOIN stream s ON s.stream_no = l.stream_no WHERE l.position > ? ORDER BY l.position LIMIT 1000`)
  const revisions = new Map<number, number>()
  for (const row of rowsOf(db.prepare('SELECT stream_no, revision FROM stream').all())) {
    revisions.set(Number(row.stream_no), Number(row.revision))
  }
  const bytes = new Uint8Array(32).fill(7)
  let position = Number(rowsOf(db.prepare('SELECT coalesce(max(position), 0) AS last FROM log').all())[0]?.last)

  function write(stream: number, count: number): void {
    const before = revisions.get(stream) ?? 0
    const time = Date.now()
    for (let index = 1; index <= count; index++) {
      position++
      const id = randomUUID()
      const content = JSON.stringify([id, eventType, [], sampleData(position), null])
      insertEvent.run(position, stream, before + index, time, id, content, bytes, bytes)
    }
    if (before === 0) insertStream.run(stream, `permit/case-${stream}`, count, position, time)
    else updateStream.run(before + count, position, time, stream)
    revisions.set(stream, before + count)
  }

  return {
    append(streams) {
      begin.run()
      for (const stream of streams) write(stream, 1)
      commit.run()
    },
    appendBatch(stream, count) {
      begin.run()
      write(stream, count)
      commit.run()
    },
    load(stream) {
      return rowsOf(selectStream.all(`permit/case-${stream}`)).map((row) => {
        const [id, type, tags, data, meta] = JSON.parse(row.content as string)
        return { id, type, tags, data, meta, revision: row.revision, position: row.position, time: row.time }
      })
    },
    scan() {
      let events = 0
      for (let after = 0; ; ) {
        const rows = rowsOf(selectPage.all(after))
        for (const row of rows) {
          const [id, type, tags, data, meta] = JSON.parse(row.content as string)
          const event = {
            id,
            type,
            tags,
            data,
            meta,
            stream: row.name,
            revision: row.revision,
            position: row.position,
            time: row.time,
          }
          if (event.data !== undefined) events++
        }
        if (rows.length < 1_000) return events
        after = Number(rows.at(-1)?.position)
      }
    },
    close() {
      db.close()
    },
  }
}

function rowsOf(rows: unknown[]): readonly Record<string, string | number>[] {
  return rows as Record<string, string | number>[]
}
