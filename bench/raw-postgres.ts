/**
 * The raw engine on PostgreSQL: what somebody would write by hand for the same rows in the same tables with the same
 * durability, one statement a commit, and without any check. Its tables are those of an empty Daybook schema.
 */
import { randomUUID } from 'node:crypto'
import { postgresStorage } from 'daybook/postgres'
import pg from 'pg'
import { eventType, sampleData } from './sample.ts'

export interface RawPostgres {
  /** One commit with `count` events for each of the streams. */
  append(streams: readonly number[], count?: number): Promise<void>
  /** All events in order of position, parsed, page by page; answers how many. */
  scan(): Promise<number>
  close(): Promise<void>
}

const insert = `
  WITH written AS (
    INSERT INTO daybook.stream (stream_no, name, type, revision, position, time, closed) OVERRIDING SYSTEM VALUE
    SELECT stream_no, name, 'permit', revision, position, $4, false
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $5::bigint[]) s (stream_no, name, revision, position)
    ON CONFLICT (stream_no) DO UPDATE
    SET revision = excluded.revision, position = excluded.position, time = excluded.time)
  INSERT INTO daybook.log (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment)
  SELECT position, stream_no, revision, $4, 1, 0, id, content, salt, salt
  FROM unnest($6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::bytea[])
    e (position, stream_no, revision, id, content, salt)`

const selectPage = `
  SELECT s.name, l.revision, l.position, l.time, l.content
  FROM daybook.log l JOIN daybook.stream s ON s.stream_no = l.stream_no
  WHERE l.position > $1 ORDER BY l.position LIMIT 1000`

export async function openRawPostgres(url: string): Promise<RawPostgres> {
  await (await postgresStorage({ url })).close()
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(
    `INSERT INTO daybook.kind (kind_no, stream_type, event_type, class) OVERRIDING SYSTEM VALUE VALUES (1, 'permit', $1, 0)`,
    [eventType],
  )
  const revisions = new Map<number, number>()
  const salt = Buffer.alloc(32, 7)
  let position = 0

  function rowsOf(stream: number, count: number) {
    const before = revisions.get(stream) ?? 0
    revisions.set(stream, before + count)
    return Array.from({ length: count }, (_, index) => {
      const id = randomUUID()
      const content = JSON.stringify([id, eventType, [], sampleData(++position), null])
      return { position, stream, revision: before + 1 + index, id, content }
    })
  }

  return {
    async append(streams, count = 1) {
      const written = streams.map((stream) => rowsOf(stream, count))
      const heads = written.map((rows) => rows.at(-1))
      const rows = written.flat()
      await client.query(insert, [
        streams,
        streams.map((stream) => `permit/case-${stream}`),
        heads.map((head) => head?.revision),
        Date.now(),
        heads.map((head) => head?.position),
        rows.map(({ position }) => position),
        rows.map(({ stream }) => stream),
        rows.map(({ revision }) => revision),
        rows.map(({ id }) => id),
        rows.map(({ content }) => content),
        rows.map(() => salt),
      ])
    },
    async scan() {
      let events = 0
      for (let after = 0; ; ) {
        const { rows } = await client.query(selectPage, [after])
        for (const row of rows) {
          const [id, type, tags, data, meta] = JSON.parse(row.content)
          const [revision, position, time] = [Number(row.revision), Number(row.position), Number(row.time)]
          const event = { id, type, tags, data, meta, stream: row.name, revision, position, time }
          if (event.data !== undefined) events++
        }
        if (rows.length < 1_000) return events
        after = Number(rows.at(-1)?.position)
      }
    },
    close: () => client.end(),
  }
}
