/** Servers are replaced one by one: old code beside a newer schema, and what happens to it when that is no longer allowed. */
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { missingPostgres, newDatabase } from '../../../test/engines/postgres.ts'
import { append, commitOf, event, is, logAll, positionsOf, range, write } from '../../conformance/kit.ts'
import { collect, until } from '../../conformance/store/kit.ts'
import { isStoreError } from '../../core/errors.ts'
import type { Commit } from '../../core/storage.ts'
import { openStore } from '../../core/store.ts'
import { commit } from './commit.ts'
import { type Migration, migrations, openSchema } from './schema.ts'
import { statementsOf } from './statements.ts'
import { type PostgresPool, postgresStorage } from './storage.ts'

const missing = missingPostgres()
const schema = 'daybook'
const place = 'a test'

/** Each event of the new code has a note; the old code neither knows nor needs it. */
const compatible: Migration = {
  oldest: 1,
  sql: (s) => `
    ALTER TABLE ${s}.log ADD COLUMN note text;
    CREATE FUNCTION ${s}.append_2(
      commits jsonb, ids text[], types text[], contents text[], proofs bytea, tag_events int[], tags text[], clock bigint
    ) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
    DECLARE
      outcomes jsonb := ${s}.append_1(commits, ids, types, contents, proofs, tag_events, tags, clock);
    BEGIN
      UPDATE ${s}.log SET note = 'new' WHERE id = ANY (ids);
      RETURN outcomes;
    END $$;
    CREATE FUNCTION ${s}.append_plain_2(
      names text[], stream_types text[], required bigint[], counts int[], last_events int[],
      kind_streams text[], kind_events text[],
      streams int[], kinds int[], steps int[], ids text[], contents text[], salts bytea[], commitments bytea[],
      tag_events int[], tags text[], clock bigint
    ) RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $$
    DECLARE
      answer bigint[] := ${s}.append_plain_1(names, stream_types, required, counts, last_events, kind_streams,
        kind_events, streams, kinds, steps, ids, contents, salts, commitments, tag_events, tags, clock);
    BEGIN
      UPDATE ${s}.log SET note = 'new' WHERE id = ANY (ids);
      RETURN answer;
    END $$`,
}

/** Appends with a condition go another way than those without. */
function sometimes(turn: number) {
  return turn % 2 ? { condition: { query: [{ tags: ['none:1'] }] } } : {}
}

/** Contents have another form from now on. */
const incompatible: Migration = {
  oldest: migrations.length + 1,
  sql: (s) => `
    ALTER TABLE ${s}.log RENAME COLUMN content TO packed;
    DROP FUNCTION ${s}.append_1, ${s}.append_plain_1, ${s}.lock_log_1`,
}

describe.skipIf(missing !== undefined)(`a rolling upgrade of PostgreSQL${missing ? ` (${missing})` : ''}`, () => {
  let url = ''
  let client: pg.Client
  beforeEach(async () => {
    const database = await newDatabase()
    url = database.url
    client = new pg.Client({ connectionString: url })
    await client.connect()
    return async () => {
      await client.end()
      await database.drop()
    }
  })

  /** What a server of the next version does when it starts. */
  async function upgrade(next: Migration): Promise<void> {
    const pool: PostgresPool = new pg.Pool({ connectionString: url })
    await openSchema({ pool, place, schema, readOnly: false, migrations: [...migrations, next] })
    await pool.end()
  }

  /** Commits as the next version's code does. */
  async function newServer() {
    const pool: PostgresPool = new pg.Pool({ connectionString: url })
    const known = [...migrations, compatible]
    const logId = await openSchema({ pool, place, schema, readOnly: false, migrations: known })
    const sql = statementsOf(schema)
    const next = {
      ...sql,
      append: sql.append.replace('append_1', 'append_2'),
      appendPlain: sql.appendPlain.replace('append_plain_1', 'append_plain_2'),
    }
    const session = { pool, place, logId, sql: next, explain: async (error: unknown) => error }
    return {
      commit: async (one: Commit) => (await commit(session, [one], Date.now))[0],
      close: () => pool.end(),
    }
  }

  test('old servers and new ones that start all at once write together, and no position is left out', async () => {
    const old = await openStore(await postgresStorage({ url }))
    const seen: (number | undefined)[] = []
    const ended = new AbortController()
    const following = (async () => {
      for await (const { position } of old.subscribe({ signal: ended.signal })) seen.push(position)
    })()
    let upgraded = false
    const oldWriter = async (writer: number) => {
      for (let turn = 0, after = 0; after < 20; turn++) {
        if (upgraded) after++
        await old.append(`old/${writer}`, [{ type: 'Happened' }], { expected: turn, ...sometimes(turn) })
      }
    }
    const newWriter = async (writer: number) => {
      const server = await newServer()
      upgraded = true
      for (const turn of range(0, 19)) {
        const one = [append(`new/${writer}`, turn, event('Happened'))]
        is(await server.commit(commitOf(one, sometimes(turn))), 'committed')
      }
      await server.close()
    }
    const oldWriters = range(1, 3).map(oldWriter)
    await until(async () => ((await old.details('old/1'))?.revision ?? 0) > 5)
    await Promise.all([...oldWriters, ...range(1, 4).map(newWriter)])

    // An old server that is started again takes the newer schema as it is.
    const again = await openStore(await postgresStorage({ url }))
    await again.append('new/1', [{ type: 'Happened' }], { expected: 20 })
    const log = await collect(again.readLog())
    expect(positionsOf(log)).toEqual(range(1, log.length))
    await until(() => seen.length === log.length)
    expect(seen).toEqual(positionsOf(log))
    const { rows } = await client.query('SELECT count(*)::int AS count FROM daybook.log WHERE note IS NOT NULL')
    expect(rows).toEqual([{ count: 80 }])
    const versions = await client.query("SELECT value FROM daybook.meta WHERE name = 'schema-version'")
    expect(versions.rows).toEqual([{ value: String(migrations.length + 1) }])
    ended.abort()
    await following
    for (const store of [old, again]) await store.close()
  })

  test('where old code may no longer work it is refused by name: who writes, who reads, who starts', async () => {
    const store = await openStore(await postgresStorage({ url }))
    const tooNew = { code: 'schema-too-new', found: migrations.length + 1, known: migrations.length }
    const following = collect(store.subscribe({ onTrouble() {} }))
    const followed = expect(following).rejects.toMatchObject(tooNew)
    let acknowledged = 0
    const writers = range(1, 4).map(async (writer) => {
      try {
        for (let turn = writer; ; turn++) {
          await store.append(`seat/${writer}`, [{ type: 'Happened' }], sometimes(turn))
          acknowledged++
        }
      } catch (error) {
        return error
      }
    })
    await until(() => acknowledged > 20)
    await upgrade(incompatible)
    for (const error of await Promise.all(writers)) expect(error).toMatchObject(tooNew)
    await followed
    await expect(collect(store.read('seat/1'))).rejects.toMatchObject(tooNew)
    await expect(store.forget('seat/1', { reasonCode: 'asked' })).rejects.toMatchObject(tooNew)
    await client.query('BEGIN')
    await expect(
      store.appendWithin(client, [{ stream: 'seat/1', events: [{ type: 'Happened' }] }]),
    ).rejects.toMatchObject(tooNew)
    await client.query('ROLLBACK')
    await expect(postgresStorage({ url })).rejects.toMatchObject(tooNew)
    await expect(postgresStorage({ url, readOnly: true })).rejects.toMatchObject(tooNew)
    const { rows } = await client.query('SELECT count(*)::int AS count FROM daybook.log')
    expect(rows).toEqual([{ count: acknowledged }])
    await store.close()
  })

  test('a schema waits for what is under way, and what comes meanwhile finds the schema that follows', async () => {
    const storage = await postgresStorage({ url })
    await write(storage, 'seat/1', event('Happened'))
    const waiting = async () => {
      const { rows } = await client.query(
        "SELECT count(*)::int AS count FROM pg_locks WHERE NOT granted AND locktype = 'relation'",
      )
      return rows[0].count
    }
    // A transaction of an application's has appended, and not committed yet.
    const store = await openStore({ ...storage, close: async () => {} })
    const open = new pg.Client({ connectionString: url })
    await open.connect()
    await open.query('BEGIN')
    await store.appendWithin(open, [{ stream: 'seat/1', events: [{ type: 'Happened' }], expected: 1 }])
    const upgrading = upgrade(incompatible)
    await until(async () => (await waiting()) === 1)
    const late = [0, 1].map((turn) =>
      storage.commit([commitOf([append('seat/1', 2, event('Happened'))], sometimes(turn))]),
    )
    await until(async () => (await waiting()) === 3)
    await open.query('COMMIT')
    await upgrading
    for (const [answer] of await Promise.all(late)) {
      const outcome = is(answer, 'failed')
      expect(isStoreError(outcome.cause, 'schema-too-new'), String(outcome.cause)).toBe(true)
    }
    const { rows } = await client.query('SELECT position::int FROM daybook.log ORDER BY position')
    expect(positionsOf(rows)).toEqual([1, 2])
    await expect(logAll(storage)).rejects.toMatchObject({ code: 'schema-too-new' })
    await open.end()
    await storage.close()
  })
})
