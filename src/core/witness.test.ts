import pino from 'pino'
import { describe, expect, test } from 'vitest'
import { collect } from '../conformance/store/kit.ts'
import { serve } from '../hosts/node.ts'
import { createClient } from '../http/client.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { openDigest } from './digest.ts'
import { newLedgerKeys, newWitnessKeys, signerOf } from './note.ts'
import { openStore } from './store.ts'
import { witness } from './witness.ts'

const log = newLedgerKeys('acme.example/permits')
const keys = newWitnessKeys('witness.example')
const signer = signerOf(log.signerKey)
const seats = (count: number) => Array.from({ length: count }, () => ({ type: 'Reserved' }))
const at = Date.UTC(2026, 0, 31, 9, 30)
const stream = 'witness/acme.example%2Fpermits'

async function opened(ledger = { signer }) {
  return openStore(memoryStorage(), { ledger })
}
const watching = (ledger: Parameters<typeof witness>[1]['ledger']) => {
  const { verifierKey } = log
  return { ledger, verifierKeys: [verifierKey], signer: signerOf(keys.signerKey), clock: () => at }
}

test('a log that grows is cosigned, digest after digest, over HTTP as well', async () => {
  await using store = await opened()
  await using keeper = await openStore(memoryStorage())
  const server = await serve({ store, port: 0, logger: pino({ level: 'silent' }) })
  await using client = createClient({ url: server.url })
  const asked = watching(client.ledger)
  expect(await witness(keeper, asked)).toBeUndefined()
  for (const count of [0, 3, 300]) {
    if (count > 0) await store.append('seat/1', seats(count))
    await store.ledger.seal()
    const cosigned = await witness(keeper, asked)
    const { size, signatures } = openDigest(cosigned?.checkpoint ?? '', [log.verifierKey, keys.verifierKey])
    expect([size, signatures.map(({ name, cosignedAt }) => [name, cosignedAt])]).toEqual([
      (await store.info()).head,
      [
        ['acme.example/permits', undefined],
        ['witness.example', at / 1_000],
      ],
    ])
    // There is nothing new to say.
    expect(await witness(keeper, asked)).toEqual(cosigned)
  }
  expect((await collect(keeper.read(stream))).map(({ type }) => type)).toEqual(['Cosigned', 'Cosigned', 'Cosigned'])
  await server.close()
})

test('several that witness at once for one store cosign one history', async () => {
  await using store = await opened()
  await using keeper = await openStore(memoryStorage())
  await store.append('seat/1', seats(3))
  await store.ledger.seal()
  const all = await Promise.all([1, 2, 3].map(() => witness(keeper, watching(store.ledger))))
  expect(new Set(all.map((cosigned) => cosigned?.checkpoint)).size).toBe(1)
  expect((await collect(keeper.read(stream))).length).toBe(1)
})

describe('a log that was', () => {
  /** What its keeper has cosigned, and another log under its key. */
  async function forked(count: number) {
    const keeper = await openStore(memoryStorage())
    {
      await using store = await opened()
      await store.append('seat/1', seats(10))
      await store.ledger.seal()
      await witness(keeper, watching(store.ledger))
    }
    const other = await opened()
    await other.append('seat/1', seats(count))
    await other.ledger.seal()
    return { keeper, other }
  }

  test.each([
    ['cut off', 9, 'position'],
    ['rewritten', 10, 'path'],
    ['rewritten, and has grown since', 30, 'path'],
  ])('%s is refused, and recorded with both digests once', async (_, count, part) => {
    const { keeper, other } = await forked(count)
    for (let asked = 0; asked < 2; asked++) {
      const refused = { code: 'proof-invalid', part }
      await expect(witness(keeper, watching(other.ledger))).rejects.toMatchObject(refused)
    }
    const events = await collect(keeper.read<never>(stream))
    expect(events.map(({ type }) => type)).toEqual(['Cosigned', 'ForkSeen'])
    const { kept, seen } = (events[1] as { data: { kept: string; seen: string } } | undefined)?.data ?? {}
    const sizes = [kept, seen].map((text) => openDigest(text ?? '', [log.verifierKey]).size)
    expect(sizes).toEqual([10, count])
    await keeper.close()
    await other.close()
  })
})

test('a key of a witness signs no log, one of a log cosigns none, and a stranger is not witnessed', async () => {
  const refused = { code: 'invalid-argument' }
  await expect(opened({ signer: signerOf(keys.signerKey) })).rejects.toMatchObject(refused)
  await using store = await opened()
  await store.ledger.seal()
  await using keeper = await openStore(memoryStorage())
  await expect(witness(keeper, { ...watching(store.ledger), signer })).rejects.toMatchObject(refused)
  const { verifierKey } = newLedgerKeys('acme.example/permits')
  const foreign = { ...watching(store.ledger), verifierKeys: [verifierKey] }
  await expect(witness(keeper, foreign)).rejects.toMatchObject({ code: 'proof-invalid', part: 'signature' })
  expect(await keeper.streamTypes()).toEqual([])
})

test('a new key of the witness cosigns what the old one has', async () => {
  await using store = await opened()
  await store.ledger.seal()
  await using keeper = await openStore(memoryStorage())
  await witness(keeper, watching(store.ledger))
  await expect(witness(keeper, { ...watching(store.ledger), signer })).rejects.toMatchObject({ path: 'signer' })
  const next = newWitnessKeys('witness.example')
  const cosigned = await witness(keeper, { ...watching(store.ledger), signer: signerOf(next.signerKey) })
  const { signatures } = openDigest(cosigned?.checkpoint ?? '', [log.verifierKey, next.verifierKey])
  expect(signatures.map(({ name }) => name)).toEqual(['acme.example/permits', 'witness.example'])
})
