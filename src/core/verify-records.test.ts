import { expect, test } from 'vitest'
import { memoryStorage } from '../storage/memory/storage.ts'
import { newLedgerKeys, signerOf } from './note.ts'
import type { LogRecord } from './storage.ts'
import { openStore } from './store.ts'
import { verifyRecords } from './verify-records.ts'

const { signerKey, verifierKey } = newLedgerKeys('records.example/log')
const verifierKeys = [verifierKey]

/** The records of a store with a forgotten stream, and the digest over all but the last event. */
async function exported() {
  const storage = memoryStorage()
  await using store = await openStore(storage, { ledger: { signer: signerOf(signerKey) } })
  const append = (stream: string, count: number) =>
    store.append(
      stream,
      Array.from({ length: count }, (_, index) => ({ type: 'Reserved', data: { index } })),
    )
  for (let id = 1; id <= 5; id++) await append(`seat/${id}`, 900)
  await store.forget('seat/2', { reasonCode: 'asked' })
  const { checkpoint, size } = await store.ledger.seal()
  await append('seat/1', 1)
  const records: LogRecord[] = []
  for (let after = 0, more = true; more; ) {
    const page = await storage.readLog({ after, direction: 'forwards', limit: 1_000, evidence: true })
    records.push(...page.records)
    after = page.scannedTo
    more = page.more
  }
  return { records, checkpoint, size }
}

test('records are verified without their store, against a digest and against each other', async () => {
  const { records, checkpoint, size } = await exported()
  const report = await verifyRecords(records, { checkpoint, verifierKeys })
  expect(report).toMatchObject({ verified: 4_502, streams: 5, checkpoint: { size } })
  expect(report.events).toEqual({ stored: 3_601, trimmed: 0, forgotten: 900, tombstone: 1 })
  expect(report.fault).toBeUndefined()
  expect((await verifyRecords(records.slice(0, size), { checkpoint, verifierKeys })).fault).toBeUndefined()
  expect((await verifyRecords([])).fault).toBeUndefined()
})

test('the first record that is wrong is named', async () => {
  const { records, checkpoint, size } = await exported()
  const faultOf = async (changed: readonly LogRecord[]) => {
    const { fault } = await verifyRecords(changed, { checkpoint, verifierKeys })
    return [fault?.kind, fault?.position]
  }
  const changed = (position: number, change: Partial<LogRecord>) =>
    records.map((record) => (record.position === position ? ({ ...record, ...change } as LogRecord) : record))
  expect(await faultOf(changed(4_200, { content: '["id","Reserved",[],null,null]' } as object))).toEqual([
    'content',
    4_200,
  ])
  expect(await faultOf(changed(4_200, { revision: 7 }))).toEqual(['revision', 4_200])
  expect(await faultOf(changed(4_200, { evidence: {} }))).toEqual(['evidence', 4_200])
  expect(await faultOf(records.filter(({ position }) => position !== 4_200))).toEqual(['missing', 4_200])
  expect(await faultOf(records.slice(0, size - 1))).toEqual(['truncated', size])
  expect(await faultOf(records.filter(({ state }) => state !== 'tombstone'))).toEqual(['missing', size])
  const unforgotten = await verifyRecords(records.slice(0, size - 1))
  expect([unforgotten.fault?.kind, unforgotten.fault?.position]).toEqual(['tombstone', 901])
  // A leaf alone tells nothing without the tiles that the store has: the digest is missed.
  expect(await faultOf(changed(4_500, { time: (records[4_499]?.time ?? 0) + 1 }))).toEqual(['digest', 1])
})

test('a checkpoint that these keys have not signed verifies nothing', async () => {
  const { records, checkpoint } = await exported()
  const foreign = newLedgerKeys('records.example/log').verifierKey
  await expect(verifyRecords(records, { checkpoint, verifierKeys: [foreign] })).rejects.toMatchObject({
    code: 'proof-invalid',
  })
})
