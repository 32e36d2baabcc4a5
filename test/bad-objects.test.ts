/** Objects that are foreign, cut short, or cannot be read: a clear error that names the object and the place, and nothing changed. */
import { copyFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { place } from '../src/cli/fixtures/command.ts'
import { range } from '../src/conformance/kit.ts'
import { checkBackup, restoreBackup } from '../src/core/restore.ts'
import { type EmbeddedStore, openStore } from '../src/core/store.ts'
import { folderObjects } from '../src/objects/folder.ts'
import { openObjects } from '../src/open.ts'
import { memoryStorage } from '../src/storage/memory/storage.ts'
import { sqliteStorage } from '../src/storage/sqlite/storage.ts'

const retention = { guest: { keepEvents: 1 } }

async function archived(folder = place()) {
  const store = await openStore(memoryStorage(), { archive: { objects: folderObjects(folder), retention } })
  await visit(store, 4)
  await store.archive.run()
  const [segment] = (await store.archive.segments({ streamType: 'guest' })).segments
  return { store, folder, manifest: join(folder, 'segments', 'guest', `${segment?.id}.json`) }
}

async function visit(store: EmbeddedStore, events: number): Promise<void> {
  for (const data of range(1, events)) await store.append('guest/1', [{ type: 'Visited', data }])
}

const reading = async (store: EmbeddedStore) => (await store.readPage('guest/1')).events

test.each([
  ['cut short', (file: string) => truncateSync(file, 40), /it is no manifest/],
  ['taken away', (file: string) => rmSync(file), /it is missing/],
  ['no JSON', (file: string) => writeFileSync(file, '\xff'), /it is no manifest/],
])('a manifest of a segment that is %s is named; events are read none the less', async (_, harm, reason) => {
  const { store, manifest } = await archived()
  harm(manifest)
  expect((await store.archive.verify()).damaged).toEqual([
    { key: expect.stringMatching(/^segments\/guest\/.*\.json$/), reason: expect.stringMatching(reason) },
  ])
  expect(await reading(store)).toHaveLength(4)
})

test('verifying reads the archive as it is now, and not as it was read before', async () => {
  const { store, manifest } = await archived()
  expect(await reading(store)).toHaveLength(4)
  truncateSync(manifest.replace(/json$/, 'ndjson.gz'), 40)
  const { fault } = await store.ledger.verify()
  expect(fault).toMatchObject({ kind: 'archive', position: 1, message: expect.stringContaining('.ndjson.gz') })
})

test('what the store knows of a segment may be changed: it is told, and verifying names the event', async () => {
  const folder = place()
  const file = `${place()}.db`
  const opened = async () =>
    openStore(await sqliteStorage({ file }), { archive: { objects: folderObjects(folder), retention } })
  {
    await using store = await opened()
    await visit(store, 4)
    await store.archive.run()
  }
  const db = new DatabaseSync(file)
  const find = db.prepare("SELECT body FROM document WHERE collection = '$segments'")
  const change = db.prepare("UPDATE document SET body = ? WHERE collection = '$segments'")
  const body = String(find.get()?.['body'])
  for (const other of ['{', 'null', body.replace('"guest"', '"../x"'), body.replace('"sha256"', '"sha"')]) {
    change.run(other)
    await using store = await opened()
    const told = { code: 'object-damaged', key: expect.stringMatching(/^seg/) }
    await expect(reading(store)).rejects.toMatchObject(told)
    expect((await store.ledger.verify()).fault).toMatchObject({ kind: 'archive', position: 1 })
  }
  change.run(body)
  db.exec('UPDATE log SET state = 2 WHERE position = 4')
  db.close()
  await using store = await opened()
  expect((await store.ledger.verify()).fault).toMatchObject({ kind: 'evidence', position: 4 })
})

test('two logs in one place know each their own, and tell of the objects of the other', async () => {
  const { folder, store } = await archived()
  const shared = await archived(folder)
  for (const each of [store, shared.store]) {
    const { unknown, damaged } = await each.archive.verify()
    expect([unknown.length, damaged]).toEqual([2, []])
    expect(await reading(each)).toHaveLength(4)
  }
})

test('a place that is no folder fails with the object and the place; nothing was emptied', async () => {
  const file = place()
  writeFileSync(file, 'not a folder')
  const objects = await openObjects(file)
  await using store = await openStore(memoryStorage(), {
    archive: { objects, retention },
    backups: [objects],
    states: objects,
  })
  await visit(store, 3)
  const failed = { code: 'storage-failed', message: expect.stringContaining(`folder ${file}`) }
  await expect(store.archive.run()).rejects.toMatchObject(failed)
  await expect(store.backups.take()).rejects.toMatchObject(failed)
  await expect(store.states.take()).rejects.toMatchObject(failed)
  expect(await reading(store)).toHaveLength(3)
})

test('a full disk ends a backup and an archiver with the object and the place; neither leaves anything that counts', async () => {
  const folder = place()
  const objects = folderObjects(folder)
  let room = true
  const filling = {
    ...objects,
    put: async (...put: Parameters<typeof objects.put>) => {
      if (room) return objects.put(...put)
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    },
  }
  await using store = await openStore(memoryStorage(), { archive: { objects: filling, retention } })
  await visit(store, 3)
  await store.backup(filling)
  await visit(store, 3)
  room = false
  const failed = {
    code: 'storage-failed',
    message: expect.stringMatching(/write (backup|segments)\/.* in folder .*no space left/),
  }
  await expect(store.backup(filling)).rejects.toMatchObject(failed)
  await expect(store.archive.run()).rejects.toMatchObject(failed)
  room = true
  expect((await checkBackup(objects)).to).toBe(3)
  expect((await store.archive.run())[0]?.events).toBe(5)
  expect((await store.archive.verify()).unknown).toEqual([])
})

test('a backup with a manifest, or events, of another log is named, and nothing is restored', async () => {
  const [mine, theirs] = [place(), place()]
  for (const folder of [mine, theirs]) {
    await using store = await openStore(memoryStorage())
    await visit(store, 3)
    await store.backup(folderObjects(folder))
    await visit(store, 2)
    await store.backup(folderObjects(folder))
  }
  const second = 'backup/00000002.json'
  const there = memoryStorage()
  copyFileSync(join(theirs, second), join(mine, second))
  const told = { code: 'object-damaged', key: second, reason: 'it was not made after the backup before it' }
  await expect(restoreBackup(folderObjects(mine), there)).rejects.toMatchObject(told)
  await expect(restoreBackup(folderObjects(place()), there)).rejects.toThrow('there is no backup in folder')
  const chunkOf = (folder: string) => {
    const [part = ''] = readdirSync(join(folder, 'backup')).filter((name) => /^00000001-/.test(name))
    return join(folder, 'backup', part, '000001.ndjson.gz')
  }
  copyFileSync(chunkOf(mine), chunkOf(theirs))
  await expect(restoreBackup(folderObjects(theirs), there)).rejects.toMatchObject({
    ...{ code: 'object-damaged', place: `folder ${theirs}` },
    key: expect.stringMatching(/^backup\/00000001-.*000001\.ndjson\.gz$/),
  })
  expect((await there.readLog({ after: 0, direction: 'forwards', limit: 1 })).head).toBe(0)
  await (await openStore(there)).close()
})
