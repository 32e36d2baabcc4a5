/**
 * Publishing digests: each goes to an object store, where those who can write to the log should not be able to change it, and
 * where everybody who verifies finds it. `checkpoints/<size>` are kept, `checkpoint` is the newest.
 */
import { checkFunctions, checkObject } from './argument.ts'
import { type Background, checkCount } from './background.ts'
import { type Digest, keptDigest, rootOf, type SignedDigest } from './digest.ts'
import { utf8 } from './encoding.ts'
import { isStoreError, ObjectDamaged, StoreBusy } from './errors.ts'
import { LedgerBroken } from './ledger-errors.ts'
import { type HashReader, hashReader, readState } from './ledger-state.ts'
import { limits } from './limits.ts'
import { getObject, listObjects, type ObjectStore, watchedObjects } from './object-store.ts'
import { emptyRoot, equalHashes } from './tree.ts'

export interface PublishOptions {
  /** It stays open when the store is closed. One log, one place. */
  readonly objects: ObjectStore
  /** For so many days nobody can change or delete a digest, in a bucket with Object Lock; without it the store's own rules hold. */
  readonly retainDays?: number
}

const newestKey = 'checkpoint'
const prefix = 'checkpoints/'
const dayMs = 86_400_000

export function checkPublish(options: PublishOptions): void {
  checkObject(options, 'ledger.publish')
  checkFunctions(options.objects, 'ledger.publish.objects', ['put', 'get', 'list', 'delete'])
  if (options.retainDays !== undefined) checkCount(options.retainDays, 'ledger.publish.retainDays', limits.retainDays)
}

/** Publishes what it has not published yet. */
export type Publish = (digest: SignedDigest) => Promise<void>

export function createPublish(
  { storage, clock }: Pick<Background, 'storage' | 'clock'>,
  options: PublishOptions,
): Publish {
  const objects = watchedObjects(options.objects)
  let last: string | undefined
  return async (digest) => {
    if (digest.checkpoint === last) return
    const read = hashReader(storage, await readState(storage))
    await publish(digest, { ...options, objects, read, now: clock() })
    last = digest.checkpoint
  }
}

/**
 * Resolves once the digest is there, whoever has put it there; safe to repeat. Throws `LedgerBroken` where another digest of as
 * many events was published, or the newest one is not of this log: then it was rewritten.
 */
async function publish(
  digest: SignedDigest,
  { objects, retainDays, read, now }: PublishOptions & { readonly read: HashReader; readonly now: number },
): Promise<void> {
  const bytes = utf8(digest.checkpoint)
  const key = keyOf(digest)
  for (let tries = 1; tries <= limits.publishTries; tries++) {
    const newest = await objects.get(newestKey)
    const before = newest && parse(newest.bytes, { key: newestKey, objects })
    if (before) await checkExtends(before, digest, read)
    const retainUntil = retainDays === undefined ? {} : { retainUntil: now + retainDays * dayMs }
    const put = await objects.put(key, bytes, { if: 'absent', ...retainUntil })
    if (put.outcome === 'conflict') {
      const there = parse(await getObject(objects, key), { key, objects })
      // With the same root, by another key of the log, it says the same.
      if (there.size !== digest.size || there.root !== digest.root) throw rewritten(key)
    }
    if (before && before.size >= digest.size) return
    const guard = newest ? ({ if: 'unchanged', etag: newest.etag } as const) : ({ if: 'absent' } as const)
    if ((await objects.put(newestKey, bytes, guard)).outcome === 'written') return
    // Somebody else has published meanwhile.
  }
  throw new StoreBusy(`Others replace ${newestKey} in ${objects.name}`, 1_000)
}

/**
 * All that were published, as signed notes, the smallest first. Throws `ObjectDamaged` for what is none, and where there are
 * verifier keys for what they have not signed.
 */
export async function publishedCheckpoints(
  place: ObjectStore,
  verifierKeys: readonly string[] = [],
): Promise<readonly string[]> {
  const objects = watchedObjects(place)
  const digests: SignedDigest[] = []
  for await (const { key } of listObjects(objects, prefix)) {
    const digest = parse(await getObject(objects, key), { key, objects, verifierKeys })
    if (key !== keyOf(digest)) throw damaged(key, objects, `it is a digest of ${digest.size} events`)
    digests.push(digest)
  }
  // Whoever has taken one away may have left it there.
  const newest = await objects.get(newestKey)
  if (newest) digests.push(parse(newest.bytes, { key: newestKey, objects, verifierKeys }))
  digests.sort((one, other) => one.size - other.size)
  return [...new Set(digests.map(({ checkpoint }) => checkpoint))]
}

/** In a list they stand in the order of their sizes. */
function keyOf({ size }: Pick<Digest, 'size'>): string {
  return `${prefix}${String(size).padStart(16, '0')}`
}

async function checkExtends(before: SignedDigest, digest: SignedDigest, read: HashReader): Promise<void> {
  if (before.origin !== digest.origin) {
    throw new LedgerBroken(
      newestKey,
      `a digest of "${before.origin}" is published there, and this log is "${digest.origin}"`,
    )
  }
  if (before.size > digest.size) return
  const [root = emptyRoot] = before.size === 0 ? [] : await read([{ from: 0, to: before.size }])
  if (!equalHashes(root, rootOf(before))) throw rewritten(newestKey)
}

function rewritten(key: string): LedgerBroken {
  return new LedgerBroken(key, 'the digest that is published there is not one of this log, which was rewritten since')
}

interface Published {
  readonly key: string
  readonly objects: ObjectStore
  readonly verifierKeys?: readonly string[]
}

function parse(bytes: Uint8Array, { key, objects, verifierKeys = [] }: Published): SignedDigest {
  try {
    return keptDigest(new TextDecoder('utf-8', { fatal: true }).decode(bytes), verifierKeys)
  } catch (error) {
    throw damaged(key, objects, isStoreError(error) ? error.message : 'it is no text')
  }
}

function damaged(key: string, objects: ObjectStore, reason: string): ObjectDamaged {
  return new ObjectDamaged({ key, place: objects.name, reason })
}
