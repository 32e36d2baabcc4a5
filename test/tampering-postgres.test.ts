/** Tampering with a PostgreSQL database by SQL is found as it is in a file: `tampering.test.ts` says all of it at length. */
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { contentOf } from '../src/core/content.ts'
import { commitmentOf } from '../src/core/leaf.ts'
import { newLedgerKeys, openStore, signerOf } from '../src/index.ts'
import { postgresStorage } from '../src/storage/postgres/storage.ts'
import { type Database, missingPostgres, newDatabase } from './engines/postgres.ts'

const { signerKey, verifierKey } = newLedgerKeys('tampering.example/log')
const signer = signerOf(signerKey)
const streams = 9
const covered = 40 * streams + 1
const missing = missingPostgres()

describe.skipIf(missing !== undefined)(`on PostgreSQL${missing ? ` (${missing})` : ''}`, () => {
  let original: Database | undefined
  let kept = ''

  beforeAll(async () => {
    original = await newDatabase()
    const storage = await postgresStorage({ url: original.url })
    const store = await openStore(storage, { ledger: { signer } })
    for (let number = 1; number <= 40; number++) {
      const appends = Array.from({ length: streams }, (_, id) => ({
        stream: `seat/${id + 1}`,
        events: [{ type: 'Reserved', data: { number, by: `member ${id}` } }],
      }))
      await store.appendMany(appends)
    }
    await storage.erase({ erase: 'trim', stream: 'seat/2', from: 1, to: 20, segment: 'segment-1' })
    await store.forget('seat/3', { reasonCode: 'asked' })
    kept = (await store.ledger.seal()).checkpoint
    await store.append('seat/1', [{ type: 'Freed' }])
    await store.close()
  })
  afterAll(() => original?.drop())

  type Change = (
    run: (sql: string, ...values: unknown[]) => Promise<readonly Record<string, unknown>[]>,
  ) => Promise<unknown>

  /** What verifying says of a copy in which somebody has changed something. */
  async function faultOf(change: Change, checkpoint?: string, seal?: 'sealed anew') {
    const name = `daybook_copy_${crypto.randomUUID().replaceAll('-', '')}`
    await admin(`CREATE DATABASE ${name} TEMPLATE ${new URL(original?.url ?? '').pathname.slice(1)}`)
    const url = new URL(original?.url ?? '')
    url.pathname = `/${name}`
    try {
      const client = new pg.Client({ connectionString: url.href, options: '-c search_path=daybook' })
      await client.connect()
      await change(async (sql, ...values) => (await client.query(sql, values)).rows).finally(() => client.end())
      if (seal) {
        await using writer = await openStore(await postgresStorage({ url: url.href }), { ledger: { signer } })
        await writer.ledger.seal()
      }
      await using store = await openStore(await postgresStorage({ url: url.href, readOnly: true }), {
        readOnly: true,
        ledger: { verifierKeys: [verifierKey] },
      })
      const { fault } = await store.ledger.verify(checkpoint === undefined ? {} : { checkpoint })
      return [fault?.kind, fault?.position]
    } finally {
      await admin(`DROP DATABASE ${name} WITH (FORCE)`)
    }
  }

  async function admin(sql: string): Promise<void> {
    const engine = inject('postgres')
    const client = new pg.Client({ connectionString: 'url' in engine ? engine.url : '' })
    await client.connect()
    await client.query(sql).finally(() => client.end())
  }

  test('what nobody has changed is found right', async () => {
    expect(await faultOf(async () => {}, kept)).toEqual([undefined, undefined])
  })

  test('any bit that is flipped is found at its position', async () => {
    const columns = ['content', 'salt', 'commitment', 'entry', 'time'] as const
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...columns), fc.nat(), fc.nat(), async (column, which, bit) => {
        let position = 0
        const [kind, found] = await faultOf(async (run) => {
          const states = { content: '0, 1', salt: '0, 1', commitment: '0, 1, 2', entry: '2, 3', time: '0, 1, 2' }[
            column
          ]
          const all = await run(
            `SELECT position FROM log WHERE state IN (${states}) AND ${column} IS NOT NULL AND position <= ${covered} ORDER BY 1`,
          )
          position = Number(all[which % all.length]?.['position'])
          if (column === 'time') {
            await run(`UPDATE log SET time = time # (1::bigint << ${bit % 40}) WHERE position = $1`, position)
            return
          }
          const value = column === 'content' ? "convert_to(content, 'UTF8')" : column
          const [row] = await run(`SELECT ${value} AS bytes FROM log WHERE position = $1`, position)
          const bytes = Buffer.from(row?.['bytes'] as Uint8Array)
          // In a text one of the low bits: what is no text the engine does not take.
          const at = (bit >> 3) % bytes.length
          bytes[at] = (bytes[at] ?? 0) ^ (1 << (column === 'content' ? bit % 4 : bit % 8))
          const back = column === 'content' ? "convert_from($1, 'UTF8')" : '$1'
          await run(`UPDATE log SET ${column} = ${back} WHERE position = $2`, bytes, position)
        })
        expect([kind, found]).toEqual([expect.any(String), position])
      }),
      { numRuns: 12, endOnFailure: true },
    )
  })

  test("a stream's end is found to be another one than in the log", async () => {
    const hidden = await faultOf((run) => run("UPDATE stream SET revision = revision - 1 WHERE name = 'seat/5'"))
    expect(hidden).toEqual(['stream', 39 * streams + 5])
    const added = await faultOf((run) =>
      run(
        `INSERT INTO stream (name, type, revision, position, time, closed) VALUES ('seat/new', 'seat', 1, -7, 0, false)`,
      ),
    )
    expect(added).toEqual(['stream', 1])
  })

  /** An event as a writer would have recorded it. */
  async function put(run: Parameters<Change>[0], place: { position: number; streamNo: unknown; revision: unknown }) {
    const content = contentOf({ id: 'forged', type: 'Reserved', tags: [], data: { by: 'me' }, meta: null }, 'event')
    const salt = new Uint8Array(32)
    await run(
      `INSERT INTO log (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment)
       SELECT $1, $2, $3, time, kind_no, 0, 'forged', $4, $5, $6 FROM log WHERE position = $1::bigint - 1`,
      ...[place.position, place.streamNo, place.revision, content, salt, commitmentOf(salt, content)],
    )
  }
  const shift = async (run: Parameters<Change>[0], from: number, by: number) => {
    await run(`UPDATE log SET position = -position WHERE position >= ${from}`)
    await run(`UPDATE log SET position = ${by} - position WHERE position < 0`)
  }

  test('an event that is deleted, inserted, exchanged or swapped is found where it stands', async () => {
    expect((await faultOf((run) => run('DELETE FROM log WHERE position = 101')))[1]).toBe(101)
    const moved = await faultOf(async (run) => {
      await run('DELETE FROM log WHERE position = 101')
      await shift(run, 102, -1)
    })
    expect(moved[1]).toBe(101)
    const inserted = await faultOf(async (run) => {
      await shift(run, 101, 1)
      const [stream] = await run(
        `INSERT INTO stream (name, type, revision, position, time, closed)
         SELECT 'seat/new', 'seat', 1, 101, time, false FROM log WHERE position = 100 RETURNING stream_no`,
      )
      await put(run, { position: 101, streamNo: stream?.['stream_no'], revision: 1 })
    })
    expect(inserted).toEqual(['leaf', 101])
    expect(await faultOf((run) => exchange(run, 101))).toEqual(['leaf', 101])
    const swapped = await faultOf(async (run) => {
      await run('UPDATE log SET position = 0 WHERE position = 101')
      await run('UPDATE log SET position = 101 WHERE position = 202')
      await run('UPDATE log SET position = 202 WHERE position = 0')
    })
    expect(swapped[1]).toBe(101)
  })

  async function exchange(run: Parameters<Change>[0], position: number): Promise<void> {
    const [row] = await run('DELETE FROM log WHERE position = $1 RETURNING stream_no, revision', position)
    await put(run, { position, streamNo: row?.['stream_no'], revision: row?.['revision'] })
  }

  const dropLedger = (run: Parameters<Change>[0]) =>
    run(`DELETE FROM document WHERE collection IN ('$ledger', '$tiles')`)

  test('a log that is cut off, with its ledger too, or is rewritten and sealed anew, is found by a digest that was kept', async () => {
    const cut: Change = (run) => run('DELETE FROM log WHERE position > 300')
    expect(await faultOf(cut)).toEqual(['truncated', 301])
    const whole: Change = async (run) => {
      await cut(run)
      await dropLedger(run)
    }
    expect(await faultOf(whole, kept)).toEqual(['truncated', 301])
    const forked: Change = async (run) => {
      await exchange(run, 101)
      await dropLedger(run)
    }
    expect(await faultOf(forked, undefined, 'sealed anew')).toEqual([undefined, undefined])
    expect(await faultOf(forked, kept, 'sealed anew')).toEqual(['digest', 1])
  })

  test('a tile that is changed is found, and the log is not blamed for it', async () => {
    const changed = await faultOf((run) =>
      run(`UPDATE document SET body = overlay(body placing 'AAAA' from 500) WHERE key = 'tile/0/000'`),
    )
    expect(changed).toEqual(['tile', 1])
  })
})
