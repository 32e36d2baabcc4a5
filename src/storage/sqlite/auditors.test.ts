import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { limits } from '../../core/limits.ts'
import { readPiece } from '../../core/read-piece.ts'
import { openStore } from '../../core/store.ts'
import { openAuditors } from './auditors.ts'
import { sqliteStorage } from './storage.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-auditors-'))
const file = join(folder, 'long.db')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

beforeAll(async () => {
  await using store = await openStore(await sqliteStorage({ file }))
  const events = Array.from({ length: 1_000 }, () => ({ type: 'Reserved' }))
  for (let done = 0; done < limits.verifyThreadEvents; done += events.length) await store.append('seat/1', events)
}, 60_000)

test('a piece that a thread audits is the one that is audited here', async () => {
  const storage = await sqliteStorage({ file, readOnly: true })
  const auditors = openAuditors(file, 2)
  const pieces = [0, 4_096, 8_192].map((after) => ({ after, until: after + 4_096 }))
  const audits = await Promise.all(pieces.map(auditors.audit))
  expect(audits).toEqual(await Promise.all(pieces.map((piece) => readPiece(storage, piece))))
  const waiting = auditors.audit({ after: 0, until: 4_096 })
  await Promise.all([expect(waiting).rejects.toThrow('has ended'), auditors.close()])
  await storage.close()
  const none = openAuditors(join(folder, 'none.db'), 1)
  await expect(none.audit({ after: 0, until: 1 })).rejects.toMatchObject({ code: 'store-missing' })
  await none.close()
})

test('a long log is verified by threads, which name the first wrong position, and end when they are told to', async () => {
  const opened = async (thread: boolean) =>
    openStore(await sqliteStorage({ file, readOnly: true, thread }), { readOnly: true })
  {
    await using store = await opened(false)
    expect((await store.ledger.verify({ parallel: 2 })).fault).toBeUndefined()
    const stopped = new AbortController()
    const onProgress = () => stopped.abort(new Error('enough'))
    await expect(store.ledger.verify({ signal: stopped.signal, onProgress })).rejects.toThrow('enough')
  }
  const db = new DatabaseSync(file)
  db.exec('UPDATE log SET time = time + 1000000 WHERE position IN (30000, 35000)')
  db.close()
  await using store = await opened(true)
  expect((await store.ledger.verify()).fault).toMatchObject({ position: 30_001, kind: 'time' })
})
