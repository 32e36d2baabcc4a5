import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { until } from '../conformance/store/kit.ts'
import { folderObjects } from '../objects/folder.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import type { LedgerOptions } from './ledger.ts'
import { newLedgerKeys, signerOf } from './note.ts'
import type { ObjectStore } from './object-store.ts'
import { publishedCheckpoints } from './publish.ts'
import { openStore } from './store.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-publish-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { signerKey } = newLedgerKeys('publish.example/log')
const signer = signerOf(signerKey)
const places = () => folderObjects(join(folder, crypto.randomUUID()))
const seats = (count: number) => Array.from({ length: count }, () => ({ type: 'Reserved' }))
const opened = (objects: ObjectStore, more: LedgerOptions = {}) =>
  openStore(memoryStorage(), { ledger: { signer, publish: { objects }, ...more } })
const textOf = async (objects: ObjectStore, key: string) => new TextDecoder().decode((await objects.get(key))?.bytes)

test('every digest that is sealed is published as it was signed, by its size and as the newest', async () => {
  const objects = places()
  await using store = await opened(objects, { everyMs: 20, publish: { objects, retainDays: 1 } })
  store.jobs.work({})
  const digests = []
  for (const count of [2, 300]) {
    await store.append('seat/1', seats(count))
    digests.push(await store.ledger.seal())
    await store.ledger.seal()
  }
  const all = digests.map(({ checkpoint }) => checkpoint)
  expect((await publishedCheckpoints(objects)).filter((text) => all.includes(text))).toEqual(all)
  expect(await textOf(objects, 'checkpoint')).toBe(all[1])
  const file = join(folder, objects.name.split('/').at(-1) ?? '', 'checkpoints/0000000000000302')
  expect(statSync(file).mode & 0o222).toBe(0)
  await store.append('seat/1', seats(1))
  await until(async () => (await textOf(objects, 'checkpoint')).includes('\n303\n'))
})

test('what could not be published is published the next time, with the same bytes', async () => {
  const objects = places()
  let broken = true
  const failing: ObjectStore = {
    ...objects,
    async put(key, ...rest) {
      if (broken && key === 'checkpoint') throw new Error('the network is gone')
      return objects.put(key, ...rest)
    },
  }
  await using store = await opened(failing)
  await store.append('seat/1', seats(2))
  await expect(store.ledger.seal()).rejects.toMatchObject({ code: 'storage-failed' })
  const published = await textOf(objects, 'checkpoints/0000000000000002')
  broken = false
  expect((await store.ledger.seal()).checkpoint).toBe(published)
  expect(await textOf(objects, 'checkpoint')).toBe(published)
})

test('of several that publish at once the newest is the newest', async () => {
  const objects = places()
  const storage = { ...memoryStorage(), async close() {} }
  const stores = await Promise.all(
    [1, 2, 3].map(() => openStore(storage, { ledger: { signer, publish: { objects } } })),
  )
  for (let round = 1; round <= 4; round++) {
    await Promise.all(
      stores.map(async (store, at) => {
        await store.append(`seat/${at}`, seats(1))
        await store.ledger.seal()
      }),
    )
  }
  expect(await textOf(objects, 'checkpoint')).toContain('\n12\n')
  const report = await stores[0]?.ledger.verify()
  expect([report?.fault, report?.checkpoint?.size]).toEqual([undefined, 12])
  for (const store of stores) await store.close()
})

describe('a log that was rewritten since a digest was published', () => {
  /** Another log under the same keys: what somebody who has them could have made of the first one. */
  async function rewritten(objects: ObjectStore, same: number, other: number) {
    const random = () => new Uint8Array(32)
    const from = {
      clock: () => 0,
      random,
      newId: (() => {
        let id = 0
        return () => `id-${++id}`
      })(),
    }
    const store = await openStore(memoryStorage({ clock: () => 0 }), {
      ...from,
      ledger: { signer, publish: { objects } },
    })
    await store.append('seat/1', seats(same))
    if (other > 0) await store.append('seat/2', seats(other))
    return store
  }

  test('is not signed on into the same place, and verifying it against what is published finds it', async () => {
    const objects = places()
    {
      await using first = await rewritten(objects, 10, 0)
      await first.ledger.seal()
      await first.append('seat/1', seats(10))
      await first.ledger.seal()
    }
    await using fork = await rewritten(objects, 10, 15)
    await expect(fork.ledger.seal()).rejects.toMatchObject({ code: 'ledger-broken', place: 'checkpoint' })
    // The digest of 10 events is the fork's, too: somewhere behind them it begins.
    expect((await fork.ledger.verify()).fault).toMatchObject({ kind: 'digest', position: 11, until: 20 })
    await using same = await rewritten(objects, 10, 10)
    await expect(same.ledger.seal()).rejects.toMatchObject({ code: 'ledger-broken' })
    await using cut = await rewritten(objects, 15, 0)
    expect((await cut.ledger.verify()).fault).toMatchObject({ kind: 'truncated', position: 16 })
  })

  test('of another origin is another log, and what is no digest is told with its place', async () => {
    const objects = places()
    {
      await using store = await opened(objects)
      await store.ledger.seal()
    }
    const other = signerOf(newLedgerKeys('other.example/log').signerKey)
    await using store = await opened(objects, { signer: other })
    await expect(store.ledger.seal()).rejects.toMatchObject({ code: 'ledger-broken', place: 'checkpoint' })
    const damaged = (size: number) => ({ code: 'object-damaged', key: `checkpoints/000000000000000${size}` })
    await expect(store.ledger.verify()).rejects.toMatchObject(damaged(0))
    await objects.put('checkpoints/0000000000000007', new TextEncoder().encode('nothing'))
    await using same = await opened(objects)
    await expect(same.ledger.verify()).rejects.toMatchObject(damaged(7))
  })
})

test('a published digest that was changed is told with its place; one that was taken away stays as the newest', async () => {
  const objects = places()
  await using store = await opened(objects)
  await store.append('seat/1', seats(3))
  const { checkpoint } = await store.ledger.seal()
  const key = 'checkpoints/0000000000000003'
  const changed = checkpoint.replace(/.{9}\n$/, 'AAAAAAAA=\n')
  await objects.delete(key)
  expect(await publishedCheckpoints(objects)).toEqual([checkpoint])
  for (const each of [key, 'checkpoint']) {
    await objects.put(each, new TextEncoder().encode(changed))
    const damaged = { code: 'object-damaged', key: each, place: objects.name }
    await expect(store.ledger.verify()).rejects.toMatchObject(damaged)
    await objects.put(each, new TextEncoder().encode(checkpoint))
  }
  expect((await store.ledger.verify()).fault).toBeUndefined()
})

test('what is no place, and what is no key, is refused', async () => {
  const refused = (publish: object) =>
    expect(openStore(memoryStorage(), { ledger: { signer, publish: publish as never } })).rejects.toMatchObject({
      code: 'invalid-argument',
    })
  await refused({})
  await refused({ objects: places(), retainDays: 0 })
})
