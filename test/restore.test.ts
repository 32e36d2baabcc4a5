/** Restores that break off leave no store that looks whole; a ledger goes on where it was. */
import { expect, test } from 'vitest'
import { call, newStore, place } from '../src/cli/fixtures/command.ts'
import { range } from '../src/conformance/kit.ts'
import { newLedgerKeys, signerOf } from '../src/core/note.ts'
import { projection } from '../src/core/projection.ts'
import { checkConsistency } from '../src/core/proof.ts'
import { checkBackup, restoreBackup } from '../src/core/restore.ts'
import { openStore } from '../src/core/store.ts'
import { openKeys } from '../src/http/keys.ts'
import { folderObjects } from '../src/objects/folder.ts'
import { memoryStorage } from '../src/storage/memory/storage.ts'
import { breakRestores } from './breaking-restores.ts'

const events = (count: number) => range(1, count).map((data) => ({ type: 'Visited', data }))
const kept = () => ({ ...memoryStorage(), async close() {} })

test('a restore that is killed goes on, and until it is done the store opens for nobody', async () => {
  let kill = 0
  await breakRestores(2, () => [0.3, 0.55][kill++ % 2] ?? 0)
}, 60_000)

test('a restored log has the digest that was signed, its proofs hold, and the next digest extends it', async () => {
  const { signerKey, verifierKey } = await newLedgerKeys('test.example/log')
  const ledger = { signer: signerOf(signerKey) }
  const backups = folderObjects(place())
  await using store = await openStore(memoryStorage(), { ledger })
  for (const guest of range(1, 3)) await store.append(`guest/${guest}`, events(211))
  const sealed = await store.ledger.seal()
  await store.append('guest/4', events(3))
  await store.forget('guest/2', { reasonCode: 'asked' })
  await store.backup(backups)
  const there = kept()
  await restoreBackup(backups, there)
  await using restored = await openStore(there, { ledger })
  expect(await restored.ledger.digest()).toEqual(sealed)
  expect(await restored.ledger.prove({ position: 300 })).toEqual(await store.ledger.prove({ position: 300 }))
  await restored.append('guest/5', events(100))
  const next = await restored.ledger.seal()
  const proof = await restored.ledger.proveConsistency(sealed.size)
  const digests = { from: sealed.checkpoint, to: next.checkpoint }
  const check = () => checkConsistency(proof, digests, [verifierKey])
  expect(check).not.toThrow()
  expect((await restored.ledger.verify()).fault).toBeUndefined()
})

test('a backup whose signed digest is not that of its events restores nothing', async () => {
  const { signerKey } = await newLedgerKeys('test.example/log')
  const ledger = { signer: signerOf(signerKey) }
  const [one, other] = [kept(), kept()]
  for (const [storage, guest] of [
    [one, 'guest/1'],
    [other, 'guest/2'],
  ] as const) {
    await using store = await openStore(storage, { ledger })
    await store.append(guest, events(5))
    await store.ledger.seal()
  }
  // The documents of one log beside the events of another.
  const mixed = { ...one, getDocuments: other.getDocuments }
  await using store = await openStore({ ...mixed, close: async () => {} }, { readOnly: true })
  const backups = folderObjects(place())
  await store.backup(backups)
  const damaged = { code: 'object-damaged', reason: expect.stringContaining('the digest that was signed at 5 events') }
  await expect(checkBackup(backups)).rejects.toMatchObject(damaged)
  const there = kept()
  await expect(restoreBackup(backups, there)).rejects.toMatchObject(damaged)
  expect((await there.readLog({ after: 0, direction: 'forwards', limit: 1 })).head).toBe(0)
  await (await openStore(there)).close()
})

test('a storage on which a store has begun to work is refused, though its log is empty', async () => {
  const backups = folderObjects(place())
  await using store = await openStore(memoryStorage())
  await store.append('guest/1', events(5))
  await store.backup(backups)
  const visits = projection<{ type: 'Visited'; data: number }, { last: number }>()({
    name: 'visits',
    lifecycle: 'inline',
    streamTypes: ['guest'],
    on: { Visited: (_, { data }) => ({ last: data }) },
  })
  const there = kept()
  await (await openStore(there, { projections: [visits] })).close()
  await expect(restoreBackup(backups, there)).rejects.toMatchObject({ code: 'invalid-argument', path: 'into' })
  await using again = await openStore(there, { projections: [visits] })
  expect((await again.info()).head).toBe(0)
})

test('a restore that is at work keeps keys and stores from being opened, and names what to do', async () => {
  const backups = folderObjects(place())
  await using store = await openStore(memoryStorage())
  await store.append('guest/1', events(5))
  await store.jobs.add('mail', { key: 'welcome' })
  await store.backup(backups)
  const there = kept()
  const ended = new AbortController()
  const onProgress = ({ phase }: { readonly phase: string }) =>
    phase === 'restoring' && ended.abort(new Error('enough'))
  await restoreBackup(backups, there, { signal: ended.signal, onProgress }).catch(() => {})
  const unfinished = { code: 'restore-unfinished', message: expect.stringContaining('restore it again') }
  await expect(openStore(there)).rejects.toMatchObject(unfinished)
  await expect(openStore(there, { readOnly: true })).rejects.toMatchObject(unfinished)
  await expect(openKeys(there)).rejects.toMatchObject(unfinished)
  const other = folderObjects(place())
  await store.backup(other)
  await store.append('guest/1', events(1))
  await store.backup(other)
  await expect(restoreBackup(other, there)).rejects.toThrow(
    'into: holds a part of backup 1; restore into a new storage',
  )
  await restoreBackup(backups, there)
  await using restored = await openStore(there)
  expect((await restored.info()).head).toBe(5)
})

test('by the command line a backup is taken, listed, checked and restored; into a store that holds something it is not', async () => {
  const [source, there, backups] = [newStore(), newStore(), place()]
  await call(source, 'append', 'guest/1', 'Visited')
  expect((await call(source, 'backup', backups)).output).toBe('backup 1 is taken: 1 event, 0 documents\n')
  await call(source, 'append', 'guest/1', 'Left')
  await call(source, 'backup', backups)
  expect((await call(there, 'restore', backups, '--dry-run')).output).toContain('is whole; nothing was written')
  expect((await call(there, 'info')).code).toBe(4)
  expect((await call(there, 'restore', backups)).output).toBe('backup 2 is restored: 2 events, 0 documents\n')
  expect((await call(there, 'export')).output).toBe((await call(source, 'export')).output)
  expect(await call(there, 'restore', backups)).toMatchObject({
    code: 2,
    errors: expect.stringContaining('is not empty'),
  })
  expect((await call(there, 'restore', place())).errors).toContain('there is no backup in')
})
