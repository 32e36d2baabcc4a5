/**
 * A process that forgets person/1 of an SQLite file: `node forgetter.ts FILE [ARCHIVE BACKUPS]`, the folders of an archive and
 * of backups. It says `ready` when it begins, and when it is done the most memory that it had, in kilobytes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { openStore } from '../../src/core/store.ts'
import { folderObjects } from '../../src/objects/folder.ts'
import { sqliteStorage } from '../../src/storage/sqlite/storage.ts'

export interface Forgetter {
  readonly process: ChildProcess
  readonly ready: Promise<unknown>
  readonly done: Promise<unknown>
  /** All that it has said. */
  said(): string
}

export function startForgetting(places: readonly string[], nodeOptions: readonly string[] = []): Forgetter {
  return startProcess(fileURLToPath(import.meta.url), places, nodeOptions)
}

export function startProcess(program: string, args: readonly string[], nodeOptions: readonly string[] = []): Forgetter {
  const options = ['--disable-warning=ExperimentalWarning', ...nodeOptions, program, ...args]
  const child = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const done = once(child, 'close')
  return { process: child, ready: Promise.race([once(child.stdout, 'data'), done]), done, said: () => said }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file = '', archive, backups] = process.argv.slice(2)
  process.stdout.write('ready\n')
  const store = await openStore(await sqliteStorage({ file }), {
    ...(archive !== undefined && { archive: { objects: folderObjects(archive) } }),
    ...(backups !== undefined && { backups: [folderObjects(backups)] }),
  })
  await store.forget('person/1', { reasonCode: 'asked' })
  await store.close()
  process.stdout.write(`${process.resourceUsage().maxRSS}\n`)
}
