/**
 * Processes that forget, and that archive, are killed at random moments over the whole of their run, and gone on with each
 * time: at the end nothing of the forgotten stream is left anywhere, everything else is as it was, and the proofs hold.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { logAll, range } from '../../src/conformance/kit.ts'
import { collect } from '../../src/conformance/store/kit.ts'
import { archives } from '../../src/core/archiving.ts'
import { putDocument } from '../../src/core/document.ts'
import { restoreBackup } from '../../src/core/restore.ts'
import { entriesHash } from '../../src/core/segment.ts'
import { openStore } from '../../src/core/store.ts'
import { verifyRecords } from '../../src/core/verify-records.ts'
import { folderObjects } from '../../src/objects/folder.ts'
import { memoryStorage } from '../../src/storage/memory/storage.ts'
import { sqliteStorage } from '../../src/storage/sqlite/storage.ts'
import { startArchiving } from '../processes/archiver.ts'
import { type Forgetter, startForgetting } from '../processes/forgetter.ts'
import { chance, seed, times } from './share.ts'

const root = await mkdtemp(join(tmpdir(), 'daybook-kill-forgetting-'))
afterAll(() => rm(root, { recursive: true, force: true }))

const secret = 'of-nobody-else'
const events = Math.max(10_000, times(100_000))

function placesIn(folder: string): [file: string, archive: string, backups: string] {
  return [join(folder, 'log.db'), join(folder, 'archive'), join(folder, 'backups')]
}

/** A stream of so many events, a part of them archived, all of them backed up, among events of another. */
async function prepare(folder: string, events: number, keepEvents = events / 2): Promise<void> {
  await mkdir(folder)
  const [file, archive, backups] = placesIn(folder)
  const objects = folderObjects(archive)
  const retention = { person: { keepEvents } }
  const store = await openStore(await sqliteStorage({ file }), { archive: { objects, retention } })
  for (const batch of range(1, events / 1_000)) {
    const told = range(1, 1_000).map((data) => ({
      type: 'Told',
      data: { secret, data },
      meta: { secret },
      tags: [secret],
    }))
    await store.append('person/1', told)
    await store.append('person/2', [{ type: 'Told', data: `kept ${batch}` }])
    if (batch === Math.round(events / 2_000)) await store.backup(folderObjects(backups))
  }
  await store.jobs.add('mail', { key: 'greet', input: { secret }, streams: ['person/1'] })
  await store.archive.run()
  await store.backup(folderObjects(backups))
  await store.close()
}

async function heldIn(folder: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const bytes = await readFile(join(entry.parentPath, entry.name))
    if ((entry.name.endsWith('.gz') ? gunzipSync(bytes) : bytes).includes(secret)) found.push(entry.name)
  }
  return found
}

async function expectForgotten(folder: string, digest: string): Promise<void> {
  const [file, archive, backups] = placesIn(folder)
  const objects = folderObjects(archive)
  const storage = await sqliteStorage({ file })
  const store = await openStore(storage, { archive: { objects }, backups: [folderObjects(backups)] })
  const kept = (await collect(store.read('person/2'))).map(({ data }) => data)
  expect(kept).toEqual(range(1, events / 1_000).map((batch) => `kept ${batch}`))
  const { damaged, unknown } = await store.archive.verify()
  expect([damaged, unknown]).toEqual([[], []])
  expect((await collect(store.read('$audit/erasures'))).length).toBe(1)
  expect((await store.jobs.get('$forget/person/1'))?.state).toBe('done')
  const records = await logAll(storage, { evidence: true })
  expect(records.filter(({ stream, state }) => stream === 'person/1' && state !== 'forgotten').length).toBe(1)
  expect(entriesHash(records.slice(0, events + events / 1_000))).toBe(digest)
  expect((await verifyRecords(records)).fault).toBeUndefined()
  const restored = memoryStorage()
  const { to } = await restoreBackup(folderObjects(backups), restored)
  expect(entriesHash(await logAll(restored, { evidence: true }))).toBe(entriesHash(records.slice(0, to)))
  await store.close()
  expect(await heldIn(folder)).toEqual([])
}

/** Kills it after so long from when it begins, unless it is done before; says whether it was killed. */
async function killAfter({ process, ready, done }: Forgetter, ms: number): Promise<boolean> {
  await ready
  const killing = setTimeout(() => process.kill('SIGKILL'), ms)
  await done
  clearTimeout(killing)
  if (process.signalCode === null) expect(process.exitCode).toBe(0)
  return process.signalCode === 'SIGKILL'
}

test(`killed ${times(100)} times while it forgets ${events} events, a process leaves nothing of them (LONG_SEED=${seed})`, async () => {
  const random = chance(seed)
  const [prepared, folder] = [join(root, 'prepared'), join(root, 'forgetting')]
  await prepare(prepared, events)
  expect((await heldIn(prepared)).length).toBeGreaterThan(4)
  const log = await sqliteStorage({ file: placesIn(prepared)[0] })
  const digest = entriesHash(await logAll(log, { evidence: true }))
  await log.close()
  const afresh = async () => {
    await rm(folder, { recursive: true, force: true })
    await cp(prepared, folder, { recursive: true })
  }

  await afresh()
  const whole = startForgetting(placesIn(folder))
  await whole.ready
  const began = performance.now()
  await whole.done
  const ms = performance.now() - began
  await expectForgotten(folder, digest)

  await afresh()
  let runs = 1
  for (let kills = 0; kills < times(100); ) {
    // Mostly a little of the run, so that kills fall on all of it, and now and then most: a step that a kill has cut is done anew.
    if (await killAfter(startForgetting(placesIn(folder)), 30 + random() ** 3 * 1.2 * ms)) {
      kills++
      continue
    }
    await expectForgotten(folder, digest)
    await afresh()
    runs++
  }
  await startForgetting(placesIn(folder)).done
  await expectForgotten(folder, digest)
  process.stdout.write(`${times(100)} kills over ${runs} runs of ${Math.round(ms)} ms each\n`)
})

test('many more events take no more memory', async () => {
  // From about 30,000 on the allocator has all that it ever takes; the heap is a tenth of that all along.
  const [few, many] = [30_000, Math.max(60_000, events)]
  const peaks: number[] = []
  for (const count of [few, many]) {
    const folder = join(root, `memory-${count}`)
    // So that segments and chunks are as large as they get in both.
    await prepare(folder, count, 100)
    const forgetter = startForgetting(placesIn(folder), ['--max-old-space-size=100'])
    await forgetter.done
    expect(forgetter.process.exitCode).toBe(0)
    peaks.push(Number(forgetter.said().trim().split('\n').at(-1)) / 1_024)
  }
  const [least = 0, most = 0] = peaks
  process.stdout.write(`forgetting ${few} events: ${Math.round(least)} MB at most; ${many}: ${Math.round(most)} MB\n`)
  // The allocator takes a fifth more or less from run to run; what kept the events would take twice as much.
  expect(most).toBeLessThan(least * 1.5)
})

test(`killed ${times(100)} times, archivers lose nothing, and empty nothing that is not in a segment`, async () => {
  const random = chance(seed + 1)
  const types = range(1, 20).map((type) => `type${type}`)
  const prepared = join(root, 'archiving')
  let folder = ''
  let round = 0
  const fresh = async () => {
    folder = `${prepared}-${++round}`
    await mkdir(folder)
    const store = await openStore(await sqliteStorage({ file: placesIn(folder)[0] }))
    for (const type of types) {
      for (const id of [1, 2]) {
        const told = range(1, 300).map((data) => ({ type: 'Told', data: { type, id, data } }))
        await store.append(`${type}/${id}`, told)
      }
    }
    const all = await collect(store.readLog())
    await store.close()
    return all
  }
  let all = await fresh()
  const expectAll = async () => {
    const [file, archive] = placesIn(folder)
    const storage = await sqliteStorage({ file })
    // As if the term of whoever was killed were over.
    await storage.declare([archives])
    const keys = types.map((key) => ({ collection: archives.collection, key }))
    for (const document of await storage.getDocuments(keys)) {
      if (document === undefined) continue
      const { held: _, ...body } = JSON.parse(document.body)
      const documents = putDocument(archives, { key: document.key, body, if: { is: 'anything' } })
      await storage.commit([{ id: crypto.randomUUID(), appends: [], documents }])
    }
    const store = await openStore(storage, { archive: { objects: folderObjects(archive) } })
    expect(await collect(store.readLog())).toEqual(all)
    expect((await store.archive.verify()).damaged).toEqual([])
    await store.close()
  }
  for (let kills = 0; kills < times(100); ) {
    const [file, archive] = placesIn(folder)
    if (await killAfter(startArchiving(file, archive, types), 50 + random() * 300)) kills++
    else {
      await expectAll()
      const store = await openStore(await sqliteStorage({ file }), { archive: { objects: folderObjects(archive) } })
      expect(await store.archive.verify()).toMatchObject({ events: 12_000, unknown: [] })
      await store.close()
      all = await fresh()
    }
    await expectAll()
  }
})
