import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { collect } from '../conformance/store/kit.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { exportLog } from './export.ts'
import { newLedgerKeys, signerOf } from './note.ts'
import { openStore } from './store.ts'
import { verifyExport } from './verify-export.ts'

const { signerKey, verifierKey } = newLedgerKeys('export.example/log')
const verifierKeys = [verifierKey]
let lines: readonly string[] = []
let kept = ''

/** Stored, trimmed and forgotten events, two tombstones, and some that no digest covers. */
beforeAll(async () => {
  const storage = memoryStorage()
  const store = await openStore(storage, { ledger: { signer: signerOf(signerKey) } })
  for (let id = 1; id <= 5; id++) {
    const events = Array.from({ length: 70 }, (_, n) => ({ type: 'Reserved', data: { by: 'größe 🎫', n } }))
    await store.append(`seat/${id}`, events)
  }
  await storage.erase({ erase: 'trim', stream: 'seat/4', from: 1, to: 20, segment: 'segment-1' })
  for (const id of [2, 3]) await store.forget(`seat/${id}`, { reasonCode: 'asked' })
  kept = (await store.ledger.seal()).checkpoint
  await store.append('seat/1', [{ type: 'Freed' }])
  lines = await collect(exportLog(storage))
  await store.close()
})

/** As a network would bring it: cut anywhere. */
async function* bytesOf(text: string, chunk = 1_000) {
  const bytes = new TextEncoder().encode(text)
  for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk)
}
const textOf = (all: readonly string[]) => all.map((line) => `${line}\n`).join('')
async function faultOf(all: readonly string[], checkpoint?: string) {
  const { fault } = await verifyExport(bytesOf(textOf(all)), { verifierKeys, ...(checkpoint && { checkpoint }) })
  return [fault?.kind, fault?.position]
}

test('an export is verified from its bytes alone, as a stream of any kind, against its own digest and a kept one', async () => {
  const told: number[] = []
  const onProgress = ({ position }: { readonly position: number }) => told.push(position)
  const report = await verifyExport(bytesOf(textOf(lines), 7), { verifierKeys, checkpoint: kept, onProgress })
  expect(report).toMatchObject({ head: 353, verified: 353, streams: 5, signed: true, digest: { size: 352 } })
  expect(report.events).toEqual({ stored: 191, trimmed: 20, forgotten: 140, tombstone: 2 })
  expect([report.fault, report.checkpoint?.size, told]).toEqual([undefined, 352, [353]])
  const stream = new Blob([textOf(lines)]).stream()
  expect(await verifyExport(stream, {})).toMatchObject({ verified: 353, signed: false })
})

test('an empty log is exported too', async () => {
  const storage = memoryStorage()
  await using _ = await openStore(storage)
  expect(await verifyExport(bytesOf(textOf(await collect(exportLog(storage)))))).toMatchObject({ head: 0, verified: 0 })
})

describe('what is wrong is named with its position:', () => {
  test('any bit of any record that is flipped', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 352 }), fc.nat(), async (position, bit) => {
        const bytes = new TextEncoder().encode(lines[position] ?? '')
        const at = (bit >> 3) % bytes.length
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
        const text = [new TextEncoder().encode(textOf(lines.slice(0, position))), bytes]
        const rest = new TextEncoder().encode(`\n${textOf(lines.slice(position + 1))}`)
        const { fault } = await verifyExport(new Blob([...text, rest]).stream(), { verifierKeys })
        // Of a forgotten event the entry is all there is, of a trimmed one the commitment: they tell nothing of these.
        const untold = /"time":\d+(?=,"forgotten")|"trimmed".*(?=,"commitment")/.exec(lines[position] ?? '')
        if (untold && at >= untold.index && at < untold.index + untold[0].length) return
        const forgotten = lines[position]?.includes('"forgotten":true')
        if (forgotten && fault?.kind === 'digest') return
        expect([fault?.kind, fault?.position]).toEqual([expect.any(String), position])
      }),
      { numRuns: 120, endOnFailure: true },
    )
  })

  test('a record that is missing, stands twice, is swapped or put in; an end that is cut off or goes on', async () => {
    const without = lines.filter((_, at) => at !== 100)
    expect(await faultOf(without)).toEqual(['missing', 100])
    expect(await faultOf([...lines.slice(0, 100), lines[99] ?? '', ...lines.slice(100)])).toEqual(['missing', 100])
    expect(await faultOf(lines.with(100, lines[101] ?? '').with(101, lines[100] ?? ''))).toEqual(['missing', 100])
    expect(await faultOf(lines.slice(0, 300))).toEqual(['truncated', 300])
    expect(await faultOf([...lines, lines.at(-1) ?? ''])).toEqual(['unreadable', 354])
    expect(await faultOf([...lines.slice(0, 100), '', ...lines.slice(100)])).toEqual(['unreadable', 100])
    const shorter = JSON.stringify({ ...JSON.parse(lines[0] ?? ''), head: 100, checkpoint: undefined })
    expect(await faultOf([shorter, ...lines.slice(1, 101)], kept)).toEqual(['truncated', 101])
  })

  test("the signature of the export's own digest", async () => {
    const head = JSON.parse(lines[0] ?? '')
    const forged = JSON.stringify({ ...head, checkpoint: head.checkpoint.replace('\n352\n', '\n351\n') })
    expect(await faultOf(lines.with(0, forged))).toEqual(['signature', 1])
    expect(await faultOf(lines.with(0, JSON.stringify({ ...head, checkpoint: 'none' })))).toEqual(['signature', 1])
  })
})

test('a line without an end is not collected for ever', async () => {
  let given = 0
  async function* endless() {
    yield new TextEncoder().encode(`${lines[0]}\n`)
    for (; ; given++) yield new Uint8Array(1_048_576).fill(0x20)
  }
  const { fault } = await verifyExport(endless())
  expect([fault?.kind, fault?.position, given < 50]).toEqual(['unreadable', 1, true])
})

test('what is no export, and a checkpoint that proves nothing, is refused', async () => {
  const invalid = { code: 'invalid-argument', path: 'export' }
  for (const text of ['', '{}', textOf(lines.slice(1)), '{"format":"daybook/export/2"}\n']) {
    await expect(verifyExport(bytesOf(text)), text.slice(0, 20)).rejects.toMatchObject(invalid)
  }
  const forged = kept.replace('\n352\n', '\n351\n')
  const refused = { code: 'proof-invalid', part: 'signature' }
  await expect(verifyExport(bytesOf(textOf(lines)), { verifierKeys, checkpoint: forged })).rejects.toMatchObject(
    refused,
  )
})
