/** Old events in the archive, and views written down: what the application keeps in folders, and how it comes back. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkProof, newLedgerKeys, signerOf } from 'daybook'
import { folderObjects } from 'daybook/objects/folder'
import { sqliteStorage } from 'daybook/sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { callerOf } from './caller.ts'
import { definitions } from './definitions.ts'

const { signerKey, verifierKey } = newLedgerKeys('ads.example/log')
const lamp = { adTitle: 'Lamp', adDescription: 'Brass', price: 40, currency: 'EUR', category: 'lights', tags: [] }
const day = 86_400_000

let folder: string
let now: number
let caller: Awaited<ReturnType<typeof opened>>
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'daybook-ads-'))
  now = Date.UTC(2026, 0, 1)
  caller = await opened()
})
afterEach(async () => {
  await caller.store.close()
  rmSync(folder, { recursive: true, force: true })
})

async function opened() {
  const clock = () => now
  const storage = await sqliteStorage({ file: join(folder, 'ads.db'), clock })
  const archive = { objects: folderObjects(join(folder, 'archive')), retention: definitions.retention }
  const states = folderObjects(join(folder, 'states'))
  return { ...(await callerOf(storage, { clock, archive, states, ledger: { signer: signerOf(signerKey) } })), storage }
}
const create = async () => (await caller.post('/publisher/acme/ad', lamp)).text.split(' ')[3] as string
const patch = (adId: string, body: object) => caller.send('PATCH', `/publisher/acme/ad/${adId}`, { body })
const rowsAt = async (path: string) => (await caller.get(path)).body as unknown as readonly Record<string, unknown>[]

test('old versions, and all of ads that were deleted, leave the storage but for the last, and are read and proven as before', async () => {
  const [adId, deleted] = [await create(), await create()]
  now += 1_000
  await patch(adId, { price: 30 })
  await patch(deleted, { price: 30 })
  now += 1_000
  await caller.send('DELETE', `/publisher/acme/ad/${deleted}`)
  const read = async () => [
    await rowsAt(`/publisher/acme/ad/${adId}`),
    await rowsAt(`/publisher/acme/ad/${adId}?versions=true`),
    await rowsAt(`/publisher/acme/ad/${deleted}?versions=true`),
    await rowsAt('/replay'),
    await rowsAt('/?q=lamp'),
  ]
  const before = await read()
  now += 89 * day
  expect(await caller.store.archive.run()).toEqual([{ streamType: 'ad', events: 0, segments: 0 }])
  now += 2 * day
  expect(await caller.store.archive.run()).toEqual([{ streamType: 'ad', events: 3, segments: 1 }])
  expect(await read()).toEqual(before)
  const { proofs } = (await caller.get(`/publisher/acme/ad/${deleted}/proof`)).body as { proofs: object[] }
  expect(proofs.map((proof) => checkProof(proof as never, [verifierKey]).proven)).toEqual([
    'commitment',
    'commitment',
    'content',
  ])
  expect((await patch(adId, { price: 20 })).status).toBe(200)
  expect((await rowsAt(`/replay/${adId}`)).map(({ version, price }) => [version, price])).toEqual([
    [0, 40],
    [1, 30],
    [2, 20],
  ])
})

test('views that were written down come back where they were lost, with what has come since', async () => {
  const [first, second] = [await create(), await create()]
  const worker = caller.store.jobs.work({})
  const { job } = await caller.store.jobs.add(definitions.schedules.$states.kind)
  while ((await caller.store.jobs.get(job.id))?.state !== 'done') await new Promise((done) => setTimeout(done, 5))
  await worker.stop()
  expect(readdirSync(join(folder, 'states', 'states'))).toContain('00000001.json')
  await patch(first, { price: 30 })
  await caller.send('DELETE', `/publisher/acme/ad/${second}`)
  const third = await create()
  const listed = await rowsAt('/publisher/acme/ad')
  expect(listed.map(({ adId }) => adId)).toEqual([first, third].toSorted())
  await caller.storage.erase({ erase: 'collection', collection: 'ads@1' })
  expect(await rowsAt('/publisher/acme/ad')).toEqual([])
  const { projections } = await caller.store.states.restore()
  expect(projections).toMatchObject([{ name: 'ads', views: 2, position: 2 }])
  expect(await rowsAt('/publisher/acme/ad')).toEqual(listed)
  expect((await rowsAt('/?q=lamp')).length).toBe(2)
})

test('its schedules are once a day and once a month', async () => {
  for (const [name, schedule] of Object.entries(definitions.schedules)) {
    await caller.store.jobs.schedule(name, schedule)
  }
  expect((await caller.store.jobs.schedules()).map(({ kind, nextAt }) => [kind, nextAt]).toSorted()).toEqual([
    ['$archive', '2026-01-01T03:00:00.000Z'],
    ['$states', '2026-01-01T00:01:00.000Z'],
  ])
})
