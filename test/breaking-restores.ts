/** Restores by processes that are killed in the middle, again and again, until one comes to its end. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { call, newStore, place, run, start } from '../src/cli/fixtures/command.ts'
import { logAll, range } from '../src/conformance/kit.ts'
import { entriesHash } from '../src/core/segment.ts'
import { openStore } from '../src/core/store.ts'
import { folderObjects } from '../src/objects/folder.ts'
import { openStorage } from '../src/open.ts'

/** Of a log of 12,000 events in three backups. `random`: when each is killed. How many were in the middle. */
export async function breakRestores(kills: number, random: () => number): Promise<number> {
  const backups = place()
  const digest = await backedUp(backups)
  const store = newStore()
  let unfinished = 0
  for (const _ of range(1, kills)) {
    const child = start(['restore', backups, '--store', store])
    await sleep(200 + random() * 1_200)
    child.kill('SIGKILL')
    await new Promise((resolve) =>
      child.exitCode !== null || child.signalCode !== null ? resolve(0) : child.once('exit', resolve),
    )
    if (child.exitCode === 0) break
    if (await isUnfinished(store)) unfinished++
  }
  const last = await run(store, ['restore', backups])
  // Where a kill came too late the store is whole, and nothing is restored into it.
  if (last.code !== 0) expect(last.errors).toContain('is not empty')
  expect(await digestOf(store)).toBe(digest)
  expect((await call(store, 'info', '--json')).json()).toMatchObject([{ head: 12_000 }])
  return unfinished
}

/** It is not there yet, or is empty, or whole, or says what it is; it never shows a part. */
async function isUnfinished(store: string): Promise<boolean> {
  for (const words of [['info'], ['append', 'guest/new', 'Visited']]) {
    const { code, output, errors } = await call(store, ...words, '--json')
    if (code === 7) expect(errors).toContain('restore-unfinished')
    else if (words[0] === 'info' && code === 0) expect([0, 12_000]).toContain(JSON.parse(output).head)
    else expect(errors).toContain('store-missing')
    if (code !== 7) return false
  }
  return true
}

async function backedUp(backups: string): Promise<string> {
  const source = newStore()
  const storage = await openStorage(source)
  await using store = await openStore(storage)
  for (const part of range(1, 3)) {
    const appends = range(1, 40).map((guest) =>
      store.append(
        `guest/${part}-${guest}`,
        range(1, 100).map((data) => ({ type: 'Visited', data })),
      ),
    )
    await Promise.all(appends)
    await store.backup(folderObjects(backups))
  }
  return entriesHash(await logAll(storage, { evidence: true }))
}

async function digestOf(url: string): Promise<string> {
  const storage = await openStorage(url)
  try {
    return entriesHash(await logAll(storage, { evidence: true }))
  } finally {
    await storage.close()
  }
}
