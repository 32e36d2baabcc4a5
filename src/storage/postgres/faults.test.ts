/** What a server may do to those who use it: break their connections, cancel their queries, keep them waiting. */
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { underLoad } from '../../../test/engines/load.ts'
import { missingPostgres, newDatabase } from '../../../test/engines/postgres.ts'
import {
  append,
  commit,
  commitOf,
  event,
  events,
  forget,
  is,
  logAll,
  outcomesOf,
  readAll,
  write,
} from '../../conformance/kit.ts'
import { until } from '../../conformance/store/kit.ts'
import { type PostgresClient, type PostgresPool, postgresStorage } from './storage.ts'

const missing = missingPostgres()

describe.skipIf(missing !== undefined)(`faults of PostgreSQL${missing ? ` (${missing})` : ''}`, () => {
  let url = ''
  let client: pg.Client
  beforeEach(async () => {
    const database = await newDatabase()
    url = database.url
    client = new pg.Client({ connectionString: url, application_name: 'the fault' })
    await client.connect()
    return async () => {
      await client.end()
      await database.drop()
    }
  })
  const others = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'daybook'"

  test.each([
    ['connections are broken', `SELECT pg_terminate_backend(pid) ${others}`],
    ['queries are cancelled', `SELECT pg_cancel_backend(pid) ${others} AND state = 'active'`],
  ])('while %s nothing acknowledged is lost or doubled; writers and subscribers go on', (_, fault) =>
    underLoad(url, async (load) => {
      for (let count = 0; load.acknowledged() < 240 || count < 3; count++) {
        await client.query(fault)
        await new Promise((resolve) => setTimeout(resolve, 40))
      }
    }),
  )

  test('a commit that meets an error nobody expects fails alone; its neighbours are recorded', async () => {
    const storage = await postgresStorage({ url })
    await client.query("ALTER TABLE daybook.log ADD CONSTRAINT odd CHECK (id <> 'bad')")
    const one = (stream: string, id: string) => commitOf([append(stream, 0, event('Happened', { id }))])
    const outcomes = await storage.commit([one('seat/1', 'a'), one('seat/2', 'bad'), one('seat/3', 'c')])
    expect(outcomesOf(outcomes)).toEqual(['committed', 'failed', 'committed'])
    expect((await logAll(storage)).map(({ stream }) => stream)).toEqual(['seat/1', 'seat/3'])
    await storage.close()
  })

  test('a log that somebody keeps locked is busy, and nothing was written', async () => {
    const storage = await postgresStorage({ url })
    await client.query('BEGIN; SELECT daybook.lock_log_1()')
    is(await commit(storage, [append('seat/1', 0, ...events(1))]), 'busy')
    // Documents alone, and reading, go on.
    const key = { collection: 'views', key: '1' }
    const documents = [{ kind: 'put', key, body: '{}', index: [], if: { is: 'absent' } }] as const
    is(await commit(storage, [], { documents }), 'committed')
    expect(await readAll(storage, 'seat/1')).toEqual([])
    await client.query('ROLLBACK')
    is(await commit(storage, [append('seat/1', 0, ...events(1))]), 'committed')
    await storage.close()
  })

  test('a commit waits for the disk before it is answered, also where the database would not', async () => {
    const pool = new pg.Pool({ connectionString: url, options: '-c synchronous_commit=off' })
    const storage = await postgresStorage({ pool })
    await client.query(`
      CREATE TABLE public.told (setting text);
      CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.told VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
      CREATE TRIGGER tells AFTER INSERT ON daybook.log FOR EACH ROW EXECUTE FUNCTION public.tell()`)
    await write(storage, 'seat/1', ...events(1))
    expect((await client.query('SELECT setting FROM public.told')).rows).toEqual([{ setting: 'on' }])
    await storage.close()
    await pool.end()
  })

  test('a step of erasing whose connection breaks says so, has done nothing, and can be repeated', async () => {
    const storage = await postgresStorage({ url })
    await write(storage, 'seat/1', ...events(3))
    await client.query('BEGIN; SELECT daybook.lock_log_1()')
    const step = { erase: 'trim', stream: 'seat/1', from: 1, to: 3, segment: 'segment-1' } as const
    const failed = expect(storage.erase(step)).rejects.toMatchObject({ code: 'storage-failed' })
    await until(async () => {
      // A transaction looks at the activity once, unless it is told otherwise.
      await client.query('SELECT pg_stat_clear_snapshot()')
      const { rowCount } = await client.query(`SELECT pg_terminate_backend(pid) ${others} AND wait_event_type = 'Lock'`)
      return rowCount === 1
    })
    await failed
    await client.query('ROLLBACK')
    expect(await storage.erase(step)).toEqual({ erased: 3, done: true })
    await storage.close()
  })

  test('scrubbing is pending while a long read may still need what was erased', async () => {
    const storage = await postgresStorage({ url })
    await write(storage, 'seat/1', ...events(3))
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM daybook.log')
    await forget(storage, 'seat/1')
    expect(await storage.erase({ erase: 'scrub' })).toEqual({ erased: 0, done: false })
    await client.query('COMMIT')
    expect(await storage.erase({ erase: 'scrub' })).toEqual({ erased: 0, done: true })
    await storage.close()
  })

  test('scrubbing waits a moment for a read that is about to end', async () => {
    const storage = await postgresStorage({ url })
    await write(storage, 'seat/1', ...events(3))
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM daybook.log')
    await forget(storage, 'seat/1')
    const scrubbed = storage.erase({ erase: 'scrub' })
    await new Promise((resolve) => setTimeout(resolve, 60))
    await client.query('COMMIT')
    expect(await scrubbed).toEqual({ erased: 0, done: true })
    await storage.close()
  })

  test('where no notification comes through, others are still heard of', async () => {
    const pool = new pg.Pool({ connectionString: url })
    // As behind a pooler of transactions: LISTEN is taken, and nothing ever comes.
    const deaf: PostgresPool = {
      query: (query) => pool.query(query),
      async connect() {
        const client = (await pool.connect()) as PostgresClient
        return {
          query: (query) => client.query(query),
          on: (event: string, listener: (told: never) => void) =>
            event !== 'notification' && client.on('error', listener as () => void),
          removeListener: () => {},
          release: (destroy) => client.release(destroy),
        }
      },
      on: () => {},
      end: () => pool.end(),
      options: pool.options,
      totalCount: 0,
      idleCount: 0,
      waitingCount: 0,
    }
    const [mine, other] = [await postgresStorage({ pool: deaf }), await postgresStorage({ url })]
    const ended = new AbortController()
    let wakes = 0
    const following = (async () => {
      for await (const _ of mine.wake(ended.signal)) wakes++
    })()
    await until(() => wakes >= 2)
    const before = wakes
    await write(other, 'seat/1', ...events(1))
    await until(() => wakes > before)
    ended.abort()
    await following
    for (const storage of [mine, other]) await storage.close()
    await pool.end()
  })
})
