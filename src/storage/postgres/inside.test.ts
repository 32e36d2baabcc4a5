/** Tables of the application's own, written in the transaction that records the events. */
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { missingPostgres, newDatabase } from '../../../test/engines/postgres.ts'
import { range } from '../../conformance/kit.ts'
import type { EventOf } from '../../core/event.ts'
import { projection } from '../../core/projection.ts'
import { openStore, type Store } from '../../core/store.ts'
import { tables } from '../../core/tables.ts'
import { postgresStorage } from './storage.ts'

const missing = missingPostgres()
type OrderEvent = EventOf<{ Ordered: { item: string; pieces: number } }>

const stock = tables<OrderEvent, pg.ClientBase>()({
  name: 'stock',
  streamTypes: ['order'],
  into: {
    async Ordered(sql, { data, stream, revision }) {
      await sql.query('UPDATE stock SET pieces = pieces - $1 WHERE item = $2', [data.pieces, data.item])
      await sql.query('INSERT INTO sold (stream, revision) VALUES ($1, $2)', [stream, revision])
    },
  },
})
const orders = projection<OrderEvent, { pieces: number }>()({
  name: 'orders',
  lifecycle: 'inline',
  streamTypes: ['order'],
  on: { Ordered: (order, { data }) => ({ pieces: (order?.pieces ?? 0) + data.pieces }) },
})
const ordered = (pieces: number, id = crypto.randomUUID()) => ({ type: 'Ordered', data: { item: 'lamp', pieces }, id })

describe.skipIf(missing !== undefined)(
  `tables in the transaction of the events${missing ? ` (${missing})` : ''}`,
  () => {
    let client: pg.Client
    let store: Store
    beforeEach(async () => {
      const database = await newDatabase()
      store = await openStore(await postgresStorage({ url: database.url }), { tables: [stock], projections: [orders] })
      client = new pg.Client({ connectionString: database.url })
      await client.connect()
      await client.query('CREATE TABLE stock (item text PRIMARY KEY, pieces int CHECK (pieces >= 0))')
      await client.query('CREATE TABLE sold (stream text, revision int)')
      await client.query("INSERT INTO stock VALUES ('lamp', 20)")
      return async () => {
        await store.close()
        await client.end()
        await database.drop()
      }
    })
    const left = async () => (await client.query('SELECT pieces FROM stock')).rows[0]?.pieces
    const sold = async () => (await client.query('SELECT stream, revision FROM sold ORDER BY stream, revision')).rows

    test('they are written with the events and the views, or not at all', async () => {
      const told = await Promise.allSettled([
        store.append('order/1', [ordered(4)]),
        store.append('order/2', [ordered(1), ordered(99)]),
        store.append('order/3', [ordered(5)]),
        store.append('other/1', [ordered(1)]),
      ])
      expect(told.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
      expect(told[1]).toMatchObject({
        reason: {
          code: 'projection-failed',
          projection: 'stock',
          stream: 'order/2',
          revision: 2,
          cause: { code: '23514' },
        },
      })
      expect(await left()).toBe(11)
      expect(await sold()).toEqual([
        { stream: 'order/1', revision: 1 },
        { stream: 'order/3', revision: 1 },
      ])
      expect(await store.views.get(orders, '3')).toEqual({ pieces: 5 })
      expect(await store.details('order/2')).toBeUndefined()
    })

    test('a conflict and a repeat leave them alone, and so does a transaction that is rolled back', async () => {
      const event = ordered(1)
      await store.append('order/1', [event], { expected: 0 })
      await expect(store.append('order/1', [ordered(1)], { expected: 0 })).rejects.toMatchObject({
        code: 'revision-conflict',
      })
      expect((await store.append('order/1', [event])).repeated).toBe(true)
      await client.query('BEGIN')
      await store.appendWithin(client, [{ stream: 'order/1', events: [ordered(2)] }])
      await client.query('ROLLBACK')
      await client.query('BEGIN')
      await store.appendWithin(client, [{ stream: 'order/1', events: [ordered(3)] }])
      await client.query('COMMIT')
      expect(await left()).toBe(16)
      expect(await sold()).toEqual(range(1, 2).map((revision) => ({ stream: 'order/1', revision })))
      expect(await store.views.get(orders, '1')).toEqual({ pieces: 4 })
    })

    test('many at once are in step with the revisions', async () => {
      await Promise.all(range(1, 20).map((index) => store.append(`order/${index % 2}`, [ordered(1)])))
      expect(await left()).toBe(0)
      expect((await sold()).map(({ revision }) => revision)).toEqual([...range(1, 10), ...range(1, 10)])
    })
  },
)
