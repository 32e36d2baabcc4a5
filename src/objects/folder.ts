/**
 * A folder as an object store: a file for each object, under the object's name. A file gets its name only once it is whole
 * and on disk. Where two processes replace one object, they take turns by a lock of SQLite's, which ends with its process.
 */
import { createHash, randomUUID } from 'node:crypto'
import { chmod, link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { compareUtf8 } from '../core/encoding.ts'
import { InvalidArgument, isStoreError, StoreBusy } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import {
  checkObjectKey,
  checkObjectQuery,
  isObjectKey,
  type ListedObject,
  type ObjectStore,
  type PutCondition,
  type PutOutcome,
} from '../core/object-store.ts'
import { backoffMs, sleep } from '../core/turn.ts'

/** No key begins with a dot. */
const parts = '.parts'
const lock = '.lock'

/** The folder is made with the first object. */
export function folderObjects(path: string): ObjectStore {
  if (typeof path !== 'string' || path === '') throw new InvalidArgument('path', 'must name a folder')
  const root = resolve(path)
  let swept: Promise<void> | undefined
  let last: Promise<unknown> = Promise.resolve()

  /** One after the other, in this process and in others. */
  function alone<Result>(run: () => Promise<Result>): Promise<Result> {
    const result = last.then(() => locked(join(root, lock), run))
    last = result.catch(() => {})
    return result
  }

  async function give(part: string, key: string, condition: PutCondition | undefined): Promise<PutOutcome['outcome']> {
    const target = join(root, key)
    if (condition?.if === 'absent') {
      try {
        // No lock: whoever may write in the folder can still delete it. It only keeps slips away.
        if (condition.retainUntil !== undefined) await chmod(part, 0o444)
        await link(part, target)
        return 'written'
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
        if ((await stat(target).catch(() => undefined))?.isDirectory()) throw new Error(`${target} is a folder`)
        return 'conflict'
      }
    }
    return alone(async () => {
      if (condition !== undefined && etagOf((await read(target)) ?? new Uint8Array()) !== condition.etag) {
        return 'conflict'
      }
      await rename(part, target)
      return 'written'
    })
  }

  return {
    name: `folder ${root}`,
    async put(key, bytes, condition) {
      checkObjectKey(key)
      await mkdir(join(root, parts), { recursive: true })
      swept ??= sweep(join(root, parts))
      await swept
      const part = join(root, parts, randomUUID())
      try {
        await writeWhole(part, bytes)
        const folder = dirname(join(root, key))
        const made = await mkdir(folder, { recursive: true })
        const outcome = await give(part, key, condition)
        if (outcome === 'conflict') return { outcome }
        await syncFolders(folder, made === undefined ? folder : dirname(made))
        return { outcome, etag: etagOf(bytes) }
      } finally {
        await rm(part, { force: true })
      }
    },
    async get(key) {
      checkObjectKey(key)
      const bytes = await read(join(root, key))
      return bytes && { bytes, etag: etagOf(bytes) }
    },
    async list(query) {
      checkObjectQuery(query)
      const { prefix, after = '', limit } = query
      // Only the folder in which all of them lie is looked through.
      const within = prefix.slice(0, prefix.lastIndexOf('/') + 1)
      const keys = (await filesOf(root, within))
        .filter((key) => isObjectKey(key) && key.startsWith(prefix) && compareUtf8(key, after) > 0)
        .sort(compareUtf8)
      const page = await Promise.all(keys.slice(0, limit).map((key) => listed(root, key)))
      return { objects: page.filter((object) => object !== undefined), more: keys.length > limit }
    },
    async delete(key) {
      checkObjectKey(key)
      const target = join(root, key)
      if ((await read(target)) === undefined) return
      await alone(() => rm(target, { force: true }))
      await syncFolders(dirname(target), dirname(target))
    },
    async close() {
      await last
    },
  }
}

async function read(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}

function etagOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function writeWhole(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'wx')
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A name is on disk once its folder is; those that were made with it lie in folders too. */
async function syncFolders(folder: string, last: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  await handle.sync().finally(() => handle.close())
  if (folder !== last) await syncFolders(dirname(folder), last)
}

/** What a crash has left; the parts of others that are at work are younger. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = join(folder, name)
    const found = await stat(file).catch(() => undefined)
    if (found && Date.now() - found.mtimeMs > limits.objectPartMs) await rm(file, { force: true })
  }
}

async function filesOf(root: string, within: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(join(root, within), { withFileTypes: true })
    const found = await Promise.all(
      entries
        .filter(({ name }) => !name.startsWith('.'))
        .map((entry) => (entry.isDirectory() ? filesOf(root, `${within}${entry.name}/`) : [`${within}${entry.name}`])),
    )
    return found.flat()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return []
    throw error
  }
}

async function listed(root: string, key: string): Promise<ListedObject | undefined> {
  try {
    return { key, bytes: (await stat(join(root, key))).size }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Files have no compare-and-swap; a write transaction of SQLite's, in which nothing is written, is a lock that no crash leaves. */
async function locked<Result>(file: string, run: () => Promise<Result>): Promise<Result> {
  const { DatabaseSync } = await import('node:sqlite')
  const until = performance.now() + limits.objectLockMs
  for (let tries = 1; ; tries++) {
    const database = new DatabaseSync(file)
    try {
      database.exec('BEGIN IMMEDIATE')
      return await run()
    } catch (error) {
      if (isStoreError(error) || !/database is locked/.test(String(error))) throw error
      if (performance.now() > until) throw new StoreBusy(`Others hold the folder ${dirname(file)}`, 1_000, error)
    } finally {
      database.close()
    }
    await sleep(backoffMs(tries, 5, 200))
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
