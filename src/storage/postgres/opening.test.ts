/** What an address may turn out to be: nothing, another application's, a newer Daybook's; and what of it is told. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missingPostgres, newDatabase } from '../../../test/engines/postgres.ts'
import { commit, commitOf, event, forget, is, readAll, write } from '../../conformance/kit.ts'
import { isStoreError } from '../../core/errors.ts'
import { open, openStorage } from '../../open.ts'
import { migrations } from './schema.ts'
import { postgresStorage } from './storage.ts'

const missing = missingPostgres()

describe.skipIf(missing !== undefined)(`opening PostgreSQL${missing ? ` (${missing})` : ''}`, () => {
  let url = ''
  let client: pg.Client
  beforeAll(async () => {
    const database = await newDatabase()
    url = database.url
    client = new pg.Client({ connectionString: url })
    await client.connect()
    return async () => {
      await client.end()
      await database.drop()
    }
  })
  let schemas = 0
  const newSchema = () => `schema_${++schemas}`
  const changed = (change: (url: URL) => void) => {
    const other = new URL(url)
    change(other)
    return other.href
  }
  const as = (username: string) => changed((other) => Object.assign(other, { username, password: 'secret' }))

  test('a store is opened by its URL, under either scheme, and told without user and password', async () => {
    for (const each of [url, changed((other) => (other.protocol = 'postgresql:'))]) {
      await using store = await open(each)
      await store.append('seat/1', [{ type: 'Reserved' }])
      const { storage } = await store.info()
      const { port, pathname } = new URL(url)
      expect(storage).toBe(`postgres:127.0.0.1:${port}${pathname}`)
    }
  })

  test('a schema of a newer Daybook is refused and left as it is', async () => {
    const schema = newSchema()
    await (await postgresStorage({ url, schema })).close()
    await client.query(`UPDATE ${schema}.meta SET value = '99' WHERE name IN ('schema-version', 'oldest-schema')`)
    await expect(postgresStorage({ url, schema })).rejects.toMatchObject({
      code: 'schema-too-new',
      found: 99,
      known: migrations.length,
    })
    const { rows } = await client.query(`SELECT value FROM ${schema}.meta WHERE name = 'schema-version'`)
    expect(rows).toEqual([{ value: '99' }])
  })

  test('a schema with tables of another application is refused and left as it is', async () => {
    for (const table of ['orders (id int)', 'meta (name text, value text)', 'meta (id int)']) {
      const schema = newSchema()
      await client.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.${table}`)
      await expect(postgresStorage({ url, schema })).rejects.toMatchObject({ code: 'not-a-store' })
      const { rows } = await client.query('SELECT tablename FROM pg_tables WHERE schemaname = $1', [schema])
      expect(rows).toHaveLength(1)
    }
  })

  test('many that open a new schema at once make it once', async () => {
    const schema = newSchema()
    const storages = await Promise.all(Array.from({ length: 8 }, () => postgresStorage({ url, schema })))
    for (const storage of storages) await write(storage, 'seat/1', event('Happened'))
    expect(await readAll(storages[0] ?? expect.fail(), 'seat/1')).toHaveLength(8)
    for (const storage of storages) await storage.close()
  })

  test('a server that is not there, a wrong password and a missing database say so, and no password', async () => {
    const { password } = new URL(url)
    for (const [address, code] of [
      [changed((other) => (other.port = '1')), 'storage-failed'],
      [changed((other) => (other.password = `${password}x`)), 'storage-failed'],
      [changed((other) => (other.pathname = '/nothing')), 'store-missing'],
      [url.replace('postgres:', 'postgress:'), 'invalid-argument'],
      [`postgres://daybook:${password}@:x/y`, 'invalid-argument'],
    ] as const) {
      const error = await openStorage(address).catch((error: unknown) => error)
      expect(isStoreError(error, code), String(error)).toBe(true)
      expect(`${error} ${JSON.stringify(error)}`).not.toContain(password)
    }
  })

  test('opened for reading only it reads, makes nothing and refuses to write', async () => {
    const schema = newSchema()
    await expect(postgresStorage({ url, schema, readOnly: true })).rejects.toMatchObject({ code: 'store-missing' })
    const storage = await postgresStorage({ url, schema })
    await write(storage, 'seat/1', event('Happened'))
    await storage.close()
    const reader = await postgresStorage({ url, schema, readOnly: true })
    expect(await readAll(reader, 'seat/1')).toHaveLength(1)
    await expect(commit(reader, [])).rejects.toMatchObject({ code: 'store-read-only' })
    await expect(reader.declare([{ collection: 'new', indexes: [] }])).rejects.toMatchObject({
      code: 'store-read-only',
    })
    await reader.close()
  })

  test('a role that may make no schema takes one that was made for it', async () => {
    const schema = newSchema()
    const role = `${schema}_${crypto.randomUUID().slice(0, 8)}`
    await client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'; CREATE SCHEMA ${schema} AUTHORIZATION ${role}`)
    const storage = await postgresStorage({ url: as(role), schema })
    await write(storage, 'seat/1', event('Happened'))
    await forget(storage, 'seat/1')
    expect(await storage.erase({ erase: 'scrub' })).toEqual({ erased: 0, done: true })
    await storage.close()
    await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  })

  test('a role that owns nothing works with rights on the tables, and does not say that it has scrubbed', async () => {
    const schema = newSchema()
    const role = `${schema}_${crypto.randomUUID().slice(0, 8)}`
    await (await postgresStorage({ url, schema })).close()
    await client.query(`
      CREATE ROLE ${role} LOGIN PASSWORD 'secret';
      GRANT USAGE ON SCHEMA ${schema} TO ${role};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role}`)
    const storage = await postgresStorage({ url: as(role), schema })
    await write(storage, 'seat/1', event('Happened'))
    await forget(storage, 'seat/1')
    expect(await storage.erase({ erase: 'scrub' })).toEqual({ erased: 0, done: false })
    await storage.close()
    await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  })

  test('a name that would need quoting is refused as a schema', async () => {
    for (const schema of ['Shop', 'a-b', 'pg_mine', '', '1st', 'x'.repeat(55)]) {
      await expect(postgresStorage({ url, schema })).rejects.toMatchObject({ code: 'invalid-argument', path: 'schema' })
    }
  })

  test('a pool that is handed in is used, and stays open', async () => {
    const pool = new pg.Pool({ connectionString: url })
    // What the application has taught the driver does not matter.
    pg.types.setTypeParser(20, BigInt)
    const storage = await postgresStorage({ pool, schema: newSchema() })
    is(
      (await storage.commit([commitOf([{ stream: 'seat/1', expected: 0, events: [event('Happened')] }])]))[0],
      'committed',
    )
    expect(await storage.positionOf('seat/1', 1)).toBe(1)
    await storage.close()
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    await pool.end()
  })

  test('a database that appends in another isolation is told so, and nothing is written', async () => {
    const pool = new pg.Pool({ connectionString: url, options: '-c default_transaction_isolation=serializable' })
    const storage = await postgresStorage({ pool, schema: newSchema() })
    const outcome = is(
      await commit(storage, [{ stream: 'seat/1', expected: 0, events: [event('Happened')] }]),
      'failed',
    )
    expect(String(outcome.cause)).toContain('READ COMMITTED')
    await storage.close()
    await pool.end()
  })
})

afterAll(() => pg.types.setTypeParser(20, (value) => value))
