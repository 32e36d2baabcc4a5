/** A process that forgets person/1 of an SQLite file: `node forgetter.ts FILE`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { openStore } from '../../src/core/store.ts'
import { sqliteStorage } from '../../src/storage/sqlite/storage.ts'

export function startForgetting(file: string): { process: ChildProcess; done: Promise<unknown> } {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), file],
    {
      stdio: 'inherit',
    },
  )
  return { process: child, done: once(child, 'exit') }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const store = await openStore(await sqliteStorage({ file: process.argv[2] ?? '' }))
  await store.forget('person/1', { reasonCode: 'asked' })
  await store.close()
}
