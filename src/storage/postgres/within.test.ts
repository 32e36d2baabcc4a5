/** Appending inside a transaction of the application's own, and all the ways in which that one may end. */
import assert from 'node:assert/strict'
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { missingPostgres, newDatabase } from '../../../test/engines/postgres.ts'
import { range } from '../../conformance/kit.ts'
import { collect, until } from '../../conformance/store/kit.ts'
import { masterKeyOf } from '../../core/master-key.ts'
import { projection } from '../../core/projection.ts'
import { openStore, type Store } from '../../core/store.ts'
import type { StoreOptions } from '../../core/store-options.ts'
import { memoryStorage } from '../memory/storage.ts'
import { postgresStorage } from './storage.ts'

const missing = missingPostgres()

describe.skipIf(missing !== undefined)(`appending within a transaction${missing ? ` (${missing})` : ''}`, () => {
  let url = ''
  let client: pg.Client
  let store: Store
  const opened: Store[] = []
  const open = async (options: StoreOptions = {}) => {
    const one = await openStore(await postgresStorage({ url }), options)
    opened.push(one)
    return one
  }
  const connect = async (options = '') => {
    const one = new pg.Client({ connectionString: url, options })
    await one.connect()
    return one
  }
  beforeEach(async () => {
    const database = await newDatabase()
    url = database.url
    store = await open()
    client = await connect()
    await client.query('CREATE TABLE orders (id text PRIMARY KEY, state text)')
    return async () => {
      for (const one of opened.splice(0)) await one.close()
      await client.end()
      await database.drop()
    }
  })
  const placed = (stream: string, more = {}) => ({ stream, events: [{ type: 'Placed' }], ...more })
  const revisionOf = async (stream: string) => (await store.details(stream))?.revision ?? 0
  const ordersOf = async () => (await client.query('SELECT id FROM orders ORDER BY id')).rows.map(({ id }) => id)

  test('events and rows of the application are recorded together, and nobody sees them before', async () => {
    await client.query("BEGIN; INSERT INTO orders VALUES ('17', 'placed')")
    const appended = await store.appendWithin(client, [
      placed('order/17', { expected: 0 }),
      { stream: 'customer/ann', events: [{ type: 'Ordered', id: 'a' }, { type: 'Billed' }] },
    ])
    expect(appended).toMatchObject([
      { stream: 'order/17', first: 1, revision: 1, position: 1, repeated: false },
      { stream: 'customer/ann', first: 1, revision: 2, position: 3, ids: ['a', expect.any(String)] },
    ])
    expect(await revisionOf('order/17')).toBe(0)
    expect((await store.info()).head).toBe(0)
    await client.query('COMMIT')
    expect((await collect(store.readLog())).map(({ position, stream }) => [position, stream])).toEqual([
      [1, 'order/17'],
      [2, 'customer/ann'],
      [3, 'customer/ann'],
    ])
    expect(await ordersOf()).toEqual(['17'])
  })

  test('what is about subjects is encrypted, and the key of a new one is there whatever becomes of the transaction', async () => {
    const encryption = { masterKey: masterKeyOf([new Uint8Array(32).fill(1)]) }
    const clinic = await open({ subjects: { streams: { patient: {} } }, encryption })
    const registered = (id: string) => ({
      stream: 'patient/1',
      events: [{ id, type: 'Registered', data: { name: 'Änn' } }],
    })
    await client.query('BEGIN')
    await clinic.appendWithin(client, [registered('a')])
    await client.query('ROLLBACK')
    await client.query('BEGIN')
    expect(await clinic.appendWithin(client, [registered('b')])).toMatchObject([{ revision: 1, repeated: false }])
    expect(await clinic.appendWithin(client, [registered('b')])).toMatchObject([{ revision: 1, repeated: true }])
    await client.query('COMMIT')
    const { rows } = await client.query('SELECT content FROM daybook.log')
    expect(rows).toHaveLength(1)
    expect(rows[0].content).not.toContain('Änn')
    expect((await clinic.readPage('patient/1')).events.map(({ id, data }) => [id, data])).toEqual([
      ['b', { name: 'Änn' }],
    ])
    await clinic.forget({ subject: 'patient/1', reasonCode: 'asked' })
    await client.query('BEGIN')
    await expect(clinic.appendWithin(client, [{ ...registered('c'), stream: 'patient/1' }])).rejects.toMatchObject({
      code: 'stream-forgotten',
    })
    await client.query('COMMIT')
  })

  test('what is rolled back leaves neither events nor a gap', async () => {
    await client.query("BEGIN; INSERT INTO orders VALUES ('17', 'placed')")
    await store.appendWithin(client, [placed('order/17')])
    await client.query('ROLLBACK')
    expect((await store.append('order/18', [{ type: 'Placed' }])).position).toBe(1)
    expect([await revisionOf('order/17'), await ordersOf()]).toEqual([0, []])
  })

  test('what an append expects is checked as ever, and the transaction goes on after a refusal', async () => {
    await store.append('order/1', [{ type: 'Placed', id: 'known', tags: ['of:ann'] }])
    await store.append('order/2', [{ type: 'Placed' }])
    await store.forget('order/2', { reasonCode: 'asked' })
    await client.query("BEGIN; INSERT INTO orders VALUES ('3', 'placed')")
    const refuse = (appends: Parameters<Store['appendWithin']>[1], facts: object, condition = {}) =>
      expect(store.appendWithin(client, appends, condition)).rejects.toMatchObject(facts)
    await refuse([placed('order/1', { expected: 0 })], { code: 'revision-conflict', actual: 1 })
    await refuse([placed('order/2')], { code: 'stream-forgotten' })
    await refuse([placed('order/3'), { stream: 'order/1', events: [], expected: 2 }], { code: 'revision-conflict' })
    await refuse([{ stream: 'order/3', events: [{ type: 'Placed', id: 'known' }] }], { code: 'event-id-reused' })
    const condition = { query: [{ tags: ['of:ann'] }] }
    await refuse([placed('order/3')], { code: 'condition-failed', stream: 'order/1' }, { condition })
    await refuse([placed('order')], { code: 'invalid-argument', path: 'stream' })
    await refuse([], { code: 'invalid-argument' })
    // Somebody else is not held up by what was refused.
    await store.append('order/4', [{ type: 'Placed' }])
    await store.appendWithin(client, [placed('order/3')], { condition: { ...condition, after: 3 } })
    await client.query('COMMIT')
    expect([await revisionOf('order/3'), await ordersOf()]).toEqual([1, ['3']])
  })

  test('schemas, ids and old names of the store hold here too', async () => {
    let made = 0
    const other = await open({
      schemas: { Placed: z.object({ by: z.string() }) },
      upcasters: [{ type: 'Bought', to: 'Placed' }],
      newId: () => `made-${++made}`,
    })
    await store.append('order/1', [{ type: 'Bought' }])
    await client.query('BEGIN')
    await expect(other.appendWithin(client, [placed('order/2')])).rejects.toMatchObject({ code: 'schema-violation' })
    const events = [{ type: 'Placed', data: { by: 'ann' } }]
    const condition = { query: [{ types: ['Placed'] }] }
    await expect(other.appendWithin(client, [{ stream: 'order/2', events }], { condition })).rejects.toMatchObject({
      code: 'condition-failed',
      stream: 'order/1',
    })
    const [appended] = await other.appendWithin(client, [{ stream: 'order/2', events }])
    expect(appended?.ids).toEqual([expect.stringMatching(/^made-\d+$/)])
    await client.query('COMMIT')
  })

  test('the same append again is answered as the first time, also after its transaction was lost', async () => {
    const appends = [{ stream: 'order/1', events: [{ type: 'Placed', id: 'a' }], expected: 0 }]
    const lost = await connect()
    await lost.query('BEGIN')
    expect(await store.appendWithin(lost, appends)).toMatchObject([{ revision: 1, repeated: false }])
    // It is one's own already, before anybody else sees it.
    expect(await store.appendWithin(lost, appends)).toMatchObject([{ revision: 1, repeated: true }])
    await lost.end()
    for (const repeated of [false, true]) {
      await client.query('BEGIN')
      expect(await store.appendWithin(client, appends)).toMatchObject([{ revision: 1, position: 1, repeated }])
      await client.query('COMMIT')
    }
    expect(await store.append('order/1', appends[0]?.events ?? [], { expected: 0 })).toMatchObject({ repeated: true })
  })

  test('what cannot carry an append is refused, each with its reason', async () => {
    const refuse = async (transaction: object, message: string) => {
      const refused = { code: 'invalid-argument', path: 'transaction', message: expect.stringContaining(message) }
      await expect(store.appendWithin(transaction, [placed('order/1')])).rejects.toMatchObject(refused)
    }
    const pool = new pg.Pool({ connectionString: url })
    await refuse(client, 'has not begun')
    await refuse(pool, 'give no pool')
    await refuse({}, 'must be a client')
    await pool.end()
    for (const level of ['REPEATABLE READ', 'SERIALIZABLE']) {
      await client.query(`BEGIN ISOLATION LEVEL ${level}`)
      await refuse(client, `must be READ COMMITTED, and is ${level.toLowerCase()}`)
      await client.query('ROLLBACK')
    }
    await client.query('BEGIN READ ONLY')
    await refuse(client, 'is READ ONLY')
    await client.query('ROLLBACK; BEGIN')
    await client.query('SELECT 1 / 0').catch(() => {})
    await refuse(client, 'was broken by a statement before')
    await client.query('ROLLBACK')
    expect((await store.info()).head).toBe(0)
  })

  test('a transaction in another database, or one with another log, is refused', async () => {
    const foreign = await newDatabase()
    const other = new pg.Client({ connectionString: foreign.url })
    await other.connect()
    for (const make of [async () => {}, async () => (await postgresStorage({ url: foreign.url })).close()]) {
      await make()
      await other.query('BEGIN')
      await expect(store.appendWithin(other, [placed('order/1')])).rejects.toMatchObject({
        code: 'invalid-argument',
        message: expect.stringContaining('in another database'),
      })
      expect((await other.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
      await other.query('ROLLBACK')
    }
    await other.end()
    await foreign.drop()
  })

  test('the settings of the session stay its own, but for what keeps the promises', async () => {
    const mine = await connect('-c lock_timeout=123 -c synchronous_commit=off -c idle_in_transaction_session_timeout=0')
    const settings = async () => {
      const names = ['lock_timeout', 'synchronous_commit', 'idle_in_transaction_session_timeout']
      const told = names.map((name) => `current_setting('${name}')`)
      return Object.values((await mine.query({ text: `SELECT ARRAY[${told}] AS all` })).rows[0].all)
    }
    await mine.query('BEGIN')
    await store.appendWithin(mine, [placed('order/1')])
    expect(await settings()).toEqual(['123ms', 'on', '5s'])
    await expect(store.appendWithin(mine, [placed('order/1', { expected: 9 })])).rejects.toThrow()
    await mine.query('COMMIT')
    expect(await settings()).toEqual(['123ms', 'off', '0'])
    // A narrower limit stays, and a refused append leaves nothing behind.
    await mine.query("SET idle_in_transaction_session_timeout = '2s'; BEGIN")
    await expect(store.appendWithin(mine, [placed('order/1', { expected: 9 })])).rejects.toThrow()
    expect(await settings()).toEqual(['123ms', 'off', '2s'])
    await store.appendWithin(mine, [placed('order/1')])
    expect(await settings()).toEqual(['123ms', 'on', '2s'])
    await mine.query('COMMIT')
    await mine.end()
  })

  test('who holds the log and does nothing more is ended by the server, and nothing was written', async () => {
    const idle = await connect('-c idle_in_transaction_session_timeout=200')
    idle.on('error', () => {})
    await idle.query('BEGIN')
    await store.appendWithin(idle, [placed('order/1')])
    expect(await store.append('order/2', [{ type: 'Placed' }])).toMatchObject({ position: 1 })
    await expect(idle.query('COMMIT')).rejects.toThrow()
    await expect(store.appendWithin(idle, [placed('order/1')])).rejects.toMatchObject({ code: 'storage-failed' })
    expect(await revisionOf('order/1')).toBe(0)
  })

  test('a log that is held too long is busy, and the transaction goes on', async () => {
    const holder = await connect()
    await holder.query('BEGIN; SELECT daybook.lock_log_1()')
    await client.query("BEGIN; INSERT INTO orders VALUES ('1', 'placed')")
    await expect(store.appendWithin(client, [placed('order/1')])).rejects.toMatchObject({ code: 'store-busy' })
    await holder.query('ROLLBACK')
    await store.appendWithin(client, [placed('order/1')])
    await client.query('COMMIT')
    expect([await revisionOf('order/1'), await ordersOf()]).toEqual([1, ['1']])
    await holder.end()
  })

  test('of two transactions that wait for each other one is told, and the other one goes on', async () => {
    await client.query("INSERT INTO orders VALUES ('1', 'placed')")
    const other = await connect()
    // One holds the row and wants the log, the other one holds the log and wants the row.
    await client.query("BEGIN; UPDATE orders SET state = 'mine' WHERE id = '1'")
    await other.query('BEGIN')
    await store.appendWithin(other, [placed('order/2')])
    const [mine, theirs] = await Promise.allSettled([
      store.appendWithin(client, [placed('order/1')]).finally(() => client.query('ROLLBACK')),
      other.query("UPDATE orders SET state = 'theirs' WHERE id = '1'"),
    ])
    if (mine.status === 'rejected') expect(mine.reason).toMatchObject({ code: 'store-busy' })
    else expect(theirs).toMatchObject({ status: 'rejected', reason: { code: '40P01' } })
    expect([mine, theirs].filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await other.query('ROLLBACK')
    await other.end()
    expect((await store.append('order/3', [{ type: 'Placed' }])).position).toBe(1)
  })

  describe('with inline views', () => {
    const orders = projection<{ type: 'Placed'; data: unknown }, { placed: number; revision: number }>()({
      name: 'orders',
      lifecycle: 'inline',
      streamTypes: ['order'],
      on: { Placed: (view, { revision }) => ({ placed: (view?.placed ?? 0) + 1, revision }) },
    })
    const all = projection<{ type: 'Placed'; data: unknown }, { placed: number }>()({
      name: 'all',
      lifecycle: 'inline',
      holds: 'totals',
      key: () => 'all',
      on: { Placed: (view) => ({ placed: (view?.placed ?? 0) + 1 }) },
    })
    const projections = [orders, all]

    test('views are recorded with the events, and what the transaction has written already is in them', async () => {
      const mine = await open({ projections })
      await mine.append('order/1', [{ type: 'Placed' }])
      await client.query('BEGIN')
      await mine.appendWithin(client, [placed('order/1'), placed('order/2')])
      await mine.appendWithin(client, [placed('order/1', { expected: 2 })])
      expect(await mine.views.get(orders, '1')).toEqual({ placed: 1, revision: 1 })
      await client.query('COMMIT')
      expect(await mine.views.get(orders, '1')).toEqual({ placed: 3, revision: 3 })
      expect(await mine.views.get(all, 'all')).toEqual({ placed: 4 })
    })

    test('what is rolled back is in no view, and a handler that throws leaves the transaction as it was', async () => {
      const failing = { ...orders, name: 'failing', on: { Broken: () => assert.fail('never') } }
      const mine = await open({ projections: [...projections, failing] })
      await client.query('BEGIN')
      await mine.appendWithin(client, [placed('order/1')])
      await client.query('ROLLBACK')
      expect(await mine.views.get(orders, '1')).toBeUndefined()
      await client.query("BEGIN; INSERT INTO orders VALUES ('1', 'placed')")
      const broken = { stream: 'order/1', events: [{ type: 'Broken' }] }
      await expect(mine.appendWithin(client, [broken])).rejects.toMatchObject({ code: 'projection-failed' })
      await mine.appendWithin(client, [placed('order/1')])
      await client.query('COMMIT')
      expect(await mine.views.get(orders, '1')).toEqual({ placed: 1, revision: 1 })
      expect(await ordersOf()).toEqual(['1'])
    })

    test('many transactions and many appends at once are in one view, each once', async () => {
      const mine = await open({ projections })
      await Promise.all(
        range(1, 4).map(async (writer) => {
          const within = await connect()
          for (const turn of range(1, 5)) {
            await within.query('BEGIN')
            await mine.appendWithin(within, [placed('order/1')])
            await within.query(turn === 5 ? 'ROLLBACK' : 'COMMIT')
            await mine.append(`order/${writer}`, [{ type: 'Placed' }])
          }
          await within.end()
        }),
      )
      expect(await mine.views.get(all, 'all')).toEqual({ placed: 36 })
      expect(await mine.views.get(orders, '1')).toEqual({ placed: 21, revision: 21 })
    })
  })

  test('subscribers elsewhere are woken after the commit', async () => {
    const listener = await connect()
    let told = 0
    listener.on('notification', () => told++)
    await listener.query('LISTEN daybook_daybook')
    const ended = new AbortController()
    const seen: (number | undefined)[] = []
    const following = (async () => {
      const elsewhere = await open()
      for await (const { position } of elsewhere.subscribe({ signal: ended.signal })) seen.push(position)
    })()
    await until(() => told > 0)
    await client.query('BEGIN')
    await store.appendWithin(client, [placed('order/1')])
    // That all is silent until the commit cannot be waited for; that nothing is seen can be asked.
    expect(seen).toEqual([])
    const before = told
    await client.query('COMMIT')
    await until(() => told > before && seen.length === 1)
    ended.abort()
    await following
    await listener.end()
  })

  test('many transactions and many appends at once leave revisions and positions without gaps', async () => {
    const transactions = range(1, 4).map(async (writer) => {
      const mine = await connect()
      for (const turn of range(1, 15)) {
        await mine.query(`BEGIN; INSERT INTO orders VALUES ('${writer}-${turn}', 'placed')`)
        await store.appendWithin(mine, [placed(`order/${writer}`, { expected: turn - 1 }), placed('log/all')])
        await mine.query(turn % 5 === 0 ? 'ROLLBACK' : 'COMMIT')
        if (turn % 5 > 0) continue
        await store.append(`order/${writer}`, [{ type: 'Placed' }], { expected: turn - 1 })
      }
      await mine.end()
    })
    await Promise.all(transactions)
    const log = await collect(store.readLog())
    expect(log.map(({ position }) => position)).toEqual(range(1, 4 * (12 * 2 + 3)))
    for (const writer of range(1, 4)) expect(await revisionOf(`order/${writer}`)).toBe(15)
    expect(await revisionOf('log/all')).toBe(48)
    expect(await ordersOf()).toHaveLength(48)
  })
})

test('a store whose storage knows no transactions says so', async () => {
  await using store = await openStore(memoryStorage())
  const refused = { code: 'unsupported', ability: 'appendWithin' }
  await expect(store.appendWithin({}, [{ stream: 'order/1', events: [{ type: 'Placed' }] }])).rejects.toMatchObject(
    refused,
  )
})
