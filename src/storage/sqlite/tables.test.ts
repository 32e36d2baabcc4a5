/** Tables of the application's own, written in the transaction that records the events. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, describe, expect, test } from 'vitest'
import type { EventOf } from '../../core/event.ts'
import { projection } from '../../core/projection.ts'
import { openStore, type StoreOptions } from '../../core/store.ts'
import { tables } from '../../core/tables.ts'
import { memoryStorage } from '../memory/storage.ts'
import { type SqliteDatabase, sqliteStorage } from './storage.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-tables-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type OrderEvent = EventOf<{ Ordered: { item: string; pieces: number }; Cancelled: null }>

const stock = tables<OrderEvent, SqliteDatabase>()({
  name: 'stock',
  streamTypes: ['order'],
  into: {
    Ordered(sql, { data, stream, revision }) {
      const { changes } = sql
        .prepare('UPDATE stock SET pieces = pieces - ? WHERE item = ? AND pieces >= ?')
        .run(data.pieces, data.item, data.pieces)
      if (changes === 0) throw new Error(`not enough of ${data.item}`)
      sql.prepare('INSERT INTO sold (stream, revision) VALUES (?, ?)').run(stream, revision)
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

async function opened(options: StoreOptions = { tables: [stock], projections: [orders] }) {
  const file = join(folder, `${crypto.randomUUID()}.db`)
  const store = await openStore(await sqliteStorage({ file }), options)
  const db = new DatabaseSync(file)
  db.exec('CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INT); CREATE TABLE sold (stream TEXT, revision INT)')
  db.exec("INSERT INTO stock VALUES ('lamp', 10)")
  return {
    store,
    left: () => (db.prepare('SELECT pieces FROM stock').get() as { pieces: number }).pieces,
    sold: () =>
      db
        .prepare('SELECT stream, revision FROM sold ORDER BY stream, revision')
        .all()
        .map((row) => ({ ...row })),
    async [Symbol.asyncDispose]() {
      db.close()
      await store.close()
    },
  }
}

describe('tables in the transaction of the events', () => {
  test('are written with the events, and with the views', async () => {
    await using shop = await opened()
    await shop.store.append('order/1', [ordered(2), { type: 'Cancelled' }, ordered(3)])
    await shop.store.append('other/1', [ordered(1)])
    expect(shop.left()).toBe(5)
    expect(shop.sold()).toEqual([
      { stream: 'order/1', revision: 1 },
      { stream: 'order/1', revision: 3 },
    ])
    expect(await shop.store.views.get(orders, '1')).toEqual({ pieces: 5 })
  })

  test('refuse the append with what they throw; it leaves nothing behind, and who wrote with it stands', async () => {
    await using shop = await opened()
    const told = await Promise.allSettled([
      shop.store.append('order/1', [ordered(4)]),
      shop.store.append('order/2', [ordered(1), ordered(9)]),
      shop.store.append('order/3', [ordered(5)]),
    ])
    expect(told.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(told[1]).toMatchObject({
      reason: {
        code: 'projection-failed',
        projection: 'stock',
        stream: 'order/2',
        revision: 2,
        cause: { message: 'not enough of lamp' },
      },
    })
    expect(shop.left()).toBe(1)
    expect(shop.sold()).toHaveLength(2)
    expect(await shop.store.details('order/2')).toBeUndefined()
    expect(await shop.store.views.get(orders, '2')).toBeUndefined()
    expect((await shop.store.info()).head).toBe(2)
  })

  test('are left alone by a conflict and by a repeat', async () => {
    await using shop = await opened()
    const event = ordered(1)
    await shop.store.append('order/1', [event], { expected: 0 })
    await expect(shop.store.append('order/1', [ordered(1)], { expected: 0 })).rejects.toMatchObject({
      code: 'revision-conflict',
    })
    expect((await shop.store.append('order/1', [event], { expected: 0 })).repeated).toBe(true)
    expect((await shop.store.append('order/1', [event])).repeated).toBe(true)
    expect([shop.left(), shop.sold().length]).toEqual([9, 1])
  })

  test('are in step with the revisions, however many write at once', async () => {
    await using shop = await opened()
    await Promise.all(Array.from({ length: 10 }, (_, index) => shop.store.append(`order/${index % 2}`, [ordered(1)])))
    expect(shop.left()).toBe(0)
    expect(shop.sold().map(({ revision }) => revision)).toEqual([1, 2, 3, 4, 5, 1, 2, 3, 4, 5])
  })

  test('are synchronous on SQLite, and not there at all on other storages', async () => {
    const late = { ...stock, into: { Ordered: async () => {} } }
    await using shop = await opened({ tables: [late] })
    const refused = { code: 'projection-failed' }
    await expect(shop.store.append('order/1', [ordered(1)])).rejects.toMatchObject({
      code: 'invalid-argument',
      path: 'tables',
    })
    expect(await shop.store.details('order/1')).toBeUndefined()
    const failing = { ...stock, into: { Ordered: () => Promise.reject(refused) } }
    await using other = await opened({ tables: [failing] })
    await expect(other.store.append('order/1', [ordered(1)])).rejects.toMatchObject({ code: 'invalid-argument' })
    await expect(openStore(memoryStorage(), { tables: [stock] })).rejects.toMatchObject({
      code: 'unsupported',
      ability: 'statements',
    })
    await expect(openStore(memoryStorage(), { tables: [] }).then((store) => store.close())).resolves.toBeUndefined()
  })
})
