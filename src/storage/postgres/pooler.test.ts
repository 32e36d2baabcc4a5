/** Behind a pooler that gives a connection away after each transaction. The contract itself is in `test/conformance-postgres.test.ts`. */
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { missingPooler, newDatabase, pooled } from '../../../test/engines/postgres.ts'
import { range } from '../../conformance/kit.ts'
import { collect, until } from '../../conformance/store/kit.ts'
import { openStore } from '../../core/store.ts'
import { postgresStorage } from './storage.ts'

const missing = missingPooler()

describe.skipIf(missing !== undefined)(`PostgreSQL behind PgBouncer${missing ? ` (${missing})` : ''}`, () => {
  let url = ''
  let direct = ''
  beforeEach(async () => {
    const database = await newDatabase()
    direct = database.url
    url = pooled(direct)
    return database.drop
  })
  const open = async (place = url) => openStore(await postgresStorage({ url: place }))

  test('subscribers hear of what is written elsewhere, though no notification comes through', async () => {
    const [writing, following, aside] = [await open(), await open(), await open(direct)]
    const ended = new AbortController()
    const seen: (number | undefined)[] = []
    const subscription = (async () => {
      for await (const { position } of following.subscribe({ signal: ended.signal })) seen.push(position)
    })()
    // One after the other has been seen, so that each is waited for.
    for (const turn of range(1, 6)) {
      await (turn % 2 ? writing : aside).append('seat/1', [{ type: 'Happened' }], { expected: turn - 1 })
      await until(() => seen.length === turn)
    }
    ended.abort()
    await subscription
    expect(seen).toEqual(range(1, 6))
    for (const store of [writing, following, aside]) await store.close()
  })

  test('an append within a transaction goes through it', async () => {
    const store = await open()
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    for (const end of ['ROLLBACK', 'COMMIT']) {
      await client.query('BEGIN')
      await store.appendWithin(client, [{ stream: 'seat/1', events: [{ type: 'Happened' }], expected: 0 }])
      await client.query(end)
    }
    await client.end()
    expect(await collect(store.read('seat/1'))).toHaveLength(1)
    await store.close()
  })

  test('nothing of a session stays behind on the connections that others get', async () => {
    const store = await open()
    const writers = range(1, 40).map((seat) => store.append(`seat/${seat % 8}`, [{ type: 'Happened', data: seat }]))
    await Promise.all([...writers, ...range(1, 40).map(() => collect(store.readLog()))])
    await store.forget('seat/1', { reasonCode: 'asked' })
    const pool = new pg.Pool({ connectionString: url, max: 20 })
    const { rows } = await pool.query("SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory'")
    expect(rows).toEqual([{ count: 0 }])
    // Long enough that each of the pooler's connections has to take one.
    const left = await Promise.all(
      range(1, 20).map(() =>
        pool.query(`SELECT (SELECT count(*)::int FROM pg_prepared_statements) AS prepared,
          current_setting('lock_timeout') AS lock_timeout, current_setting('enable_seqscan') AS scans,
          current_setting('plan_cache_mode') AS plans, pg_sleep(0.05)::text AS slept`),
      ),
    )
    const untouched = { prepared: 0, lock_timeout: '0', scans: 'on', plans: 'auto', slept: '' }
    for (const { rows } of left) expect(rows).toEqual([untouched])
    await pool.end()
    await store.close()
  })
})
