/** A process that archives all of an SQLite file: `node archiver.ts FILE ARCHIVE TYPES`. It says `ready` when it begins. */
import { fileURLToPath } from 'node:url'
import { openStore } from '../../src/core/store.ts'
import { folderObjects } from '../../src/objects/folder.ts'
import { sqliteStorage } from '../../src/storage/sqlite/storage.ts'
import { type Forgetter, startProcess } from './forgetter.ts'

export function startArchiving(file: string, archive: string, types: readonly string[]): Forgetter {
  return startProcess(fileURLToPath(import.meta.url), [file, archive, types.join()])
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file = '', archive = '', types = ''] = process.argv.slice(2)
  const retention = Object.fromEntries(types.split(',').map((type) => [type, { keepDays: 0 }]))
  process.stdout.write('ready\n')
  const store = await openStore(await sqliteStorage({ file }), {
    archive: { objects: folderObjects(archive), retention },
  })
  await store.archive.run()
  await store.close()
}
