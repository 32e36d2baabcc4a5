/** Whoever can write to the database cannot change the log without being found out, nor is anybody accused who did not. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contentOf } from '../src/core/content.ts'
import { commitmentOf } from '../src/core/leaf.ts'
import { newLedgerKeys, openStore, signerOf, type VerifyReport } from '../src/index.ts'
import { sqliteStorage } from '../src/storage/sqlite/storage.ts'
import { flip } from './flip.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-tampering-'))
const original = join(folder, 'original.db')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { signerKey, verifierKey } = newLedgerKeys('tampering.example/log')
const signer = signerOf(signerKey)
const streams = 9
const rounds = 64
/** Events that the digest covers: two full tiles and a part of a third; behind them some that it does not. */
const covered = streams * rounds + 1
const head = covered + streams
let kept = ''

beforeAll(async () => {
  const storage = await sqliteStorage({ file: original })
  const store = await openStore(storage, { ledger: { signer } })
  const round = async (number: number, of: number) => {
    for (let id = 1; id <= of; id++) {
      await store.append(`seat/${id}`, [
        { type: 'Reserved', tags: [`n:${number}`], data: { number, by: `member ${id}` } },
      ])
    }
  }
  for (let number = 1; number <= rounds; number++) await round(number, streams)
  await storage.erase({ erase: 'trim', stream: 'seat/2', from: 1, to: 20, segment: 'segment-1' })
  await store.forget('seat/3', { reasonCode: 'asked' })
  kept = (await store.ledger.seal()).checkpoint
  await store.append(
    'seat/1',
    Array.from({ length: streams }, () => ({ type: 'Freed' })),
  )
  await store.close()
})

let copies = 0

/** What verifying says of a copy in which somebody has changed something. */
async function verified(change: (db: DatabaseSync) => void, checkpoint?: string): Promise<VerifyReport> {
  const file = join(folder, `copy-${++copies}.db`)
  copyFileSync(original, file)
  try {
    const db = new DatabaseSync(file)
    change(db)
    db.close()
    await using store = await openStore(await sqliteStorage({ file, readOnly: true }), {
      readOnly: true,
      ledger: { verifierKeys: [verifierKey] },
    })
    return await store.ledger.verify(checkpoint === undefined ? {} : { checkpoint })
  } finally {
    rmSync(file, { force: true })
  }
}

async function faultOf(change: (db: DatabaseSync) => void, checkpoint?: string) {
  const { fault } = await verified(change, checkpoint)
  return [fault?.kind, fault?.position]
}

interface Row {
  readonly position: number
  readonly stream: string
  readonly revision: number
  readonly state: number
}
function rows(): readonly Row[] {
  const db = new DatabaseSync(original, { readOnly: true })
  const all = db
    .prepare(
      'SELECT l.position, s.name AS stream, l.revision, l.state FROM log l JOIN stream s USING (stream_no) ORDER BY l.position',
    )
    .all()
  db.close()
  return all as unknown as readonly Row[]
}

test('what nobody has changed is found right, also against a digest that was kept', async () => {
  const { fault, events, ...report } = await verified(() => {}, kept)
  expect(fault).toBeUndefined()
  expect(report).toMatchObject({ verified: head, head, signed: true, digest: { size: covered } })
  expect(events).toEqual({ stored: 492 + streams, trimmed: 20, forgotten: 64, tombstone: 1 })
})

describe('a bit that is flipped is found, at its position:', () => {
  const columns: Readonly<Record<string, (row: Row) => boolean>> = {
    content: ({ state }) => state === 0 || state === 1,
    salt: ({ state }) => state === 0 || state === 1,
    commitment: ({ state }) => state !== 3,
    entry: ({ state }) => state === 2 || state === 3,
  }
  test.each(Object.entries(columns))('of %s', async (column, has) => {
    const candidates = rows().filter(has)
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), async (which, bit) => {
        const { position } = candidates[which % candidates.length] as Row
        const [, found] = await faultOf((db) => flip(db, { column, position, bit }))
        expect(found).toBe(position)
      }),
      { numRuns: 40, endOnFailure: true },
    )
  })

  test('of the time, of any covered event', async () => {
    const candidates = rows().filter(({ position }) => position <= covered)
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 0, max: 40 }), async (which, bit) => {
        const { position, state } = candidates[which % candidates.length] as Row
        // Of a forgotten event only the entry is left: no time that verifying could hold against it but those of its stream.
        fc.pre(state !== 3)
        const [, found] = await faultOf((db) => {
          const { time } = db.prepare('SELECT time FROM log WHERE position = ?').get(position) as { time: number }
          const flipped = Number(BigInt(time) ^ (1n << BigInt(bit)))
          db.prepare('UPDATE log SET time = ? WHERE position = ?').run(flipped, position)
        })
        expect(found).toBe(position)
      }),
      { numRuns: 40, endOnFailure: true },
    )
  })

  test('of the state: stored, tombstone, trimmed and forgotten do not pass for each other', async () => {
    for (const [position, state] of [
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 0],
      [2, 1],
      [2, 3],
      [3, 1],
      [covered, 0],
      [covered, 2],
      [covered, 3],
    ] as const) {
      const { fault } = await verified((db) =>
        db.prepare('UPDATE log SET state = ? WHERE position = ?').run(state, position),
      )
      expect(fault, `${position} as ${state}`).toBeDefined()
    }
  })
})

test('what goes from the content to the salt, so that the commitment still fits, is found', async () => {
  const moved = (db: DatabaseSync, to: string) => db.exec(`UPDATE log SET ${to} WHERE position = 100`)
  const forth = 'salt = CAST(salt || substr(content, 1, 1) AS BLOB), content = substr(content, 2)'
  expect(await faultOf((db) => moved(db, forth))).toEqual(['evidence', 100])
  const emptied = "salt = CAST(salt || content AS BLOB), content = ''"
  expect(await faultOf((db) => moved(db, emptied))).toEqual(['evidence', 100])
})

test('a record that cannot be read is named, the last one too, whatever stands in its columns', async () => {
  const last = head
  for (const position of [100, last]) {
    const of = (set: string) => (db: DatabaseSync) => db.exec(`UPDATE log SET ${set} WHERE position = ${position}`)
    expect(await faultOf(of('content = CAST(content AS BLOB)'))).toEqual(['unreadable', position])
    expect(await faultOf(of('stream_no = 1000'))).toEqual(['unreadable', position])
    expect(await faultOf(of("state = 2, content = '{'"))).toEqual(['unreadable', position])
    expect(await faultOf(of("state = 2, content = '{}'"))).toEqual(['evidence', position])
  }
  const nameless = (db: DatabaseSync) => db.exec(`UPDATE stream SET name = CAST(name AS BLOB) WHERE name = 'seat/5'`)
  expect(await faultOf(nameless)).toEqual(['unreadable', 5])
})

describe("a stream's end, by which it is read, is found to be another one", () => {
  const at = (name: string, set: string) => (db: DatabaseSync) =>
    db.exec(`UPDATE stream SET ${set} WHERE name = '${name}'`)
  const lastOf = (name: string) => rows().findLast(({ stream }) => stream === name)?.position

  test.each([
    ['its last events are hidden', 'revision = revision - 3'],
    ['it has more than the log', 'revision = revision + 1'],
    ['its last event is said to be of another time', 'time = time + 1'],
  ])('where %s', async (_, set) => {
    expect(await faultOf(at('seat/5', set), kept)).toEqual(['stream', lastOf('seat/5')])
  })

  test('where it seems to have been written since', async () => {
    const since = at('seat/5', 'position = position + 1000, revision = 1')
    expect(await faultOf(since, kept)).toEqual(['stream', head + 1])
  })

  test('where all of it seems to be forgotten', async () => {
    expect(await faultOf(at('seat/5', 'closed = 1'), kept)).toEqual(['tombstone', 5])
  })

  test('where a stream that was forgotten seems to be open', async () => {
    expect(await faultOf(at('seat/3', 'closed = 0'))).toEqual(['stream', lastOf('seat/3')])
  })

  test('where events were put behind it, or in a stream of their own, that the log does not have', async () => {
    const forged = (db: DatabaseSync, streamNo: unknown, revision: number) => {
      put(db, { position: 301, streamNo: Number(streamNo), revision, at: -7 })
    }
    const behind = await faultOf((db) => {
      const row = db.prepare(`SELECT stream_no, revision FROM stream WHERE name = 'seat/5'`).get()
      forged(db, row?.['stream_no'], Number(row?.['revision']) + 1)
      at('seat/5', 'revision = revision + 1, position = -7')(db)
    })
    expect(behind).toEqual(['stream', lastOf('seat/5')])
    const apart = await faultOf((db) => {
      const added = db.prepare(
        `INSERT INTO stream (name, type, revision, position, time, closed) VALUES ('seat/new', 'seat', 1, -7, 0, 0) RETURNING stream_no`,
      )
      forged(db, added.get()?.['stream_no'], 1)
    })
    expect(apart).toEqual(['stream', 1])
  })
})

test("a stream's name, and the stream or revision of an event, are bound too", async () => {
  expect(await faultOf((db) => db.exec(`UPDATE stream SET name = 'seat/x' WHERE name = 'seat/5'`))).toEqual(['leaf', 5])
  expect(
    await faultOf((db) => {
      const { stream_no: other } = db.prepare(`SELECT stream_no FROM stream WHERE name = 'seat/6'`).get() as {
        stream_no: number
      }
      db.prepare('UPDATE log SET stream_no = ?, revision = 1000 WHERE position = 100').run(other)
    }),
  ).toEqual(['revision', 100])
  // Two streams in each other's place: all else is as it was.
  expect(
    await faultOf((db) =>
      db.exec(`UPDATE stream SET name = 'x' WHERE name = 'seat/5'; UPDATE stream SET name = 'seat/5' WHERE name = 'seat/6';
        UPDATE stream SET name = 'seat/6' WHERE name = 'x'`),
    ),
  ).toEqual(['leaf', 5])
})

describe('an event that is', () => {
  const shift = (db: DatabaseSync, from: number, by: number) =>
    db.exec(
      `UPDATE log SET position = -position WHERE position >= ${from}; UPDATE log SET position = ${by} - position WHERE position < 0`,
    )

  test('deleted is missing, and is missed too where those behind it move up', async () => {
    expect(await faultOf((db) => db.exec('DELETE FROM log WHERE position = 301'))).toEqual(['unreadable', 301])
    const moved = await faultOf((db) => {
      db.exec('DELETE FROM log WHERE position = 301')
      shift(db, 302, -1)
    })
    expect(moved).toEqual(['leaf', 301])
    const dropped = await faultOf((db) => {
      // With its whole stream, so that no revision is missing.
      const gone = rows().filter(({ stream }) => stream === 'seat/4')
      for (const { position } of gone.toReversed()) {
        db.exec(`DELETE FROM log WHERE position = ${position}`)
        shift(db, position + 1, -1)
      }
    })
    expect(dropped).toEqual(['leaf', 4])
  })

  test('inserted, with all that belongs to it, is found where it stands', async () => {
    const inserted = await faultOf((db) => {
      shift(db, 301, 1)
      const { stream_no: streamNo } = db
        .prepare(`INSERT INTO stream (name, type, revision, position, time, closed)
        SELECT 'seat/new', 'seat', 1, 301, time, 0 FROM log WHERE position = 300 RETURNING stream_no`)
        .get() as { stream_no: number }
      put(db, { position: 301, streamNo, revision: 1 })
    })
    expect(inserted).toEqual(['leaf', 301])
  })

  test('exchanged for another, with all that belongs to it, is found', async () => {
    const exchanged = await faultOf((db) => {
      const { stream_no: streamNo, revision } = db
        .prepare('SELECT stream_no, revision FROM log WHERE position = 301')
        .get() as {
        stream_no: number
        revision: number
      }
      db.exec('DELETE FROM log WHERE position = 301')
      put(db, { position: 301, streamNo, revision })
    })
    expect(exchanged).toEqual(['leaf', 301])
  })

  test('swapped with another is found at the first of the two', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: covered }),
        fc.integer({ min: 1, max: covered }),
        async (one, other) => {
          fc.pre(one !== other)
          const [, position] = await faultOf((db) =>
            db.exec(`UPDATE log SET position = 0 WHERE position = ${one}; UPDATE log SET position = ${one} WHERE position = ${other};
            UPDATE log SET position = ${other} WHERE position = 0`),
          )
          expect(position).toBe(Math.min(one, other))
        },
      ),
      { numRuns: 25, endOnFailure: true },
    )
  })
})

/** An event as a writer would have recorded it; `at`: where it stands instead. */
function put(db: DatabaseSync, place: { position: number; streamNo: number; revision: number; at?: number }): void {
  const content = contentOf({ id: 'forged', type: 'Reserved', tags: [], data: { by: 'me' }, meta: null }, 'event')
  const salt = new Uint8Array(32)
  db.prepare(
    `INSERT INTO log (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment)
     SELECT ?, ?, ?, time, 1, 0, 'forged', ?, ?, ? FROM log WHERE position = ?`,
  ).run(
    place.at ?? place.position,
    place.streamNo,
    place.revision,
    content,
    salt,
    commitmentOf(salt, content),
    place.position - 1,
  )
}

describe('a log that is cut off', () => {
  test('before what was sealed is found; behind it only a later digest could tell', async () => {
    expect(await faultOf((db) => db.exec('DELETE FROM log WHERE position > 500'))).toEqual(['truncated', 501])
    const unsealed = (db: DatabaseSync) => db.exec(`DELETE FROM log WHERE position > ${covered}`)
    expect(await faultOf(unsealed)).toEqual(['stream', covered + 1])
    const withItsStream = await faultOf((db) => {
      unsealed(db)
      const end =
        '(SELECT revision, position, time FROM log l WHERE l.stream_no = stream.stream_no ORDER BY 1 DESC LIMIT 1)'
      db.exec(`UPDATE stream SET (revision, position, time) = ${end} WHERE position > ${covered}`)
    })
    expect(withItsStream).toEqual([undefined, undefined])
  })

  test('together with its ledger is found by a digest that was kept', async () => {
    const cut = (db: DatabaseSync) =>
      db.exec(`DELETE FROM log WHERE position > 500; DELETE FROM document WHERE collection IN ('$ledger', '$tiles')`)
    expect((await verified(cut)).digest).toBeUndefined()
    expect(await faultOf(cut, kept)).toEqual(['truncated', 501])
  })
})

test('a log that somebody with the key has rewritten and sealed anew is found by a digest that was kept', async () => {
  const file = join(folder, 'forked.db')
  copyFileSync(original, file)
  const db = new DatabaseSync(file)
  const { stream_no: streamNo, revision } = db
    .prepare('SELECT stream_no, revision FROM log WHERE position = 301')
    .get() as {
    stream_no: number
    revision: number
  }
  db.exec(`DELETE FROM log WHERE position = 301; DELETE FROM document WHERE collection IN ('$ledger', '$tiles')`)
  put(db, { position: 301, streamNo, revision })
  db.close()
  await using store = await openStore(await sqliteStorage({ file }), { ledger: { signer } })
  await store.ledger.seal()
  expect((await store.ledger.verify()).fault).toBeUndefined()
  const { fault } = await store.ledger.verify({ checkpoint: kept })
  expect(fault).toMatchObject({ kind: 'digest', position: 1, until: covered })
})

describe('of the ledger', () => {
  const edit = (db: DatabaseSync, key: string, change: (body: string) => string) => {
    const { body } = db.prepare('SELECT body FROM document WHERE key = ?').get(key) as { body: string }
    const changed = change(body)
    expect(changed).not.toBe(body)
    db.prepare('UPDATE document SET body = ? WHERE key = ?').run(changed, key)
  }

  test('any character of a tile that is changed is found, and the log is not blamed for it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 1 }), fc.nat({ max: 10_000 }), async (index, at) => {
        const { fault } = await verified((db) => edit(db, `tile/0/00${index}`, (body) => changedAt(body, 11 + at)))
        expect(fault).toMatchObject({ kind: 'tile', position: index * 256 + 1, until: index * 256 + 256 })
      }),
      { numRuns: 20, endOnFailure: true },
    )
    expect(await faultOf((db) => db.exec(`DELETE FROM document WHERE key = 'tile/0/001'`))).toEqual(['tile', 257])
  })

  test('where event and tile were both changed, the event is named', async () => {
    const both = await faultOf((db) => {
      db.exec('UPDATE log SET time = time + 1 WHERE position = 301')
      edit(db, 'tile/0/001', (body) => changedAt(body, 5_000))
    })
    expect(both[0]).not.toBe('tile')
  })

  test('any character of its document that is changed is found', async () => {
    const { length } = readBody('log')
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (at) => {
        const { fault } = await verified((db) => edit(db, 'log', (body) => changedAt(body, at % length)))
        // What only says when it was signed is not signed.
        if (
          readBody('log')
            .slice(0, at % length)
            .includes('"sealedAt"')
        )
          return
        expect(fault).toBeDefined()
      }),
      { numRuns: 60, endOnFailure: true },
    )
  })

  test('a digest of another log, or one that is signed by nobody, is none', async () => {
    const { checkpoint } = JSON.parse(readBody('log'))
    const foreign = newLedgerKeys('tampering.example/log')
    for (const text of [
      checkpoint.replace(`\n${covered}\n`, '\n1\n'),
      checkpoint.replaceAll('tampering', 'pampering'),
    ]) {
      const { fault } = await verified((db) =>
        edit(db, 'log', (body) => JSON.stringify({ ...JSON.parse(body), checkpoint: text })),
      )
      expect(fault?.kind).toBe('signature')
    }
    await using store = await openStore(await sqliteStorage({ file: original, readOnly: true }), {
      readOnly: true,
      ledger: { verifierKeys: [foreign.verifierKey] },
    })
    expect((await store.ledger.verify()).fault?.kind).toBe('signature')
  })

  test('nothing is sealed on top of what was changed, and nothing false is proven', async () => {
    const file = join(folder, 'refused.db')
    const opened = async (change: (db: DatabaseSync) => void) => {
      rmSync(file, { force: true })
      copyFileSync(original, file)
      const db = new DatabaseSync(file)
      change(db)
      db.close()
      return openStore(await sqliteStorage({ file }), { ledger: { signer } })
    }
    for (const change of [
      (db: DatabaseSync) => db.exec('DELETE FROM log WHERE position > 500'),
      (db: DatabaseSync) => db.exec(`UPDATE log SET commitment = zeroblob(32) WHERE position = ${covered}`),
      (db: DatabaseSync) => edit(db, 'log', (body) => changedAt(body, body.indexOf('"edge"') + 20)),
    ]) {
      await using store = await opened(change)
      await expect(store.ledger.seal()).rejects.toMatchObject({ code: 'ledger-broken' })
    }
    await using store = await opened((db) => db.exec('UPDATE log SET commitment = zeroblob(32) WHERE position = 301'))
    await expect(store.ledger.prove({ position: 301 })).rejects.toMatchObject({
      code: 'ledger-broken',
      place: 'position 301',
    })
    expect((await store.ledger.prove({ position: 302 })).position).toBe(302)
  })

  function readBody(key: string): string {
    const db = new DatabaseSync(original, { readOnly: true })
    const { body } = db.prepare('SELECT body FROM document WHERE key = ?').get(key) as { body: string }
    db.close()
    return body
  }
})

function changedAt(text: string, at: number): string {
  const other = text[at] === 'A' ? 'B' : 'A'
  return text.slice(0, at) + other + text.slice(at + 1)
}
