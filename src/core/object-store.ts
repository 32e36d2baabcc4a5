/**
 * The port for objects: whole files under names, written once or guarded by what they were. Archive segments, backups and
 * whatever else leaves the storage go there. Two keep it, a folder and S3; the conformance suite holds them to it. Expected
 * outcomes are values; a rejected `put` or `delete` may have happened, and both can be repeated.
 */
import { utf8Length } from './encoding.ts'
import { InvalidArgument, isStoreError, ObjectDamaged, StorageFailed } from './errors.ts'
import { limits } from './limits.ts'

export interface ObjectStore {
  /** For messages: the kind and the place, never a password. */
  readonly name: string
  /** Durable and seen by everybody when it resolves; never seen in part. */
  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<PutOutcome>
  /** As it was put last; strongly consistent. */
  get(key: string): Promise<StoredObject | undefined>
  /** In order of UTF-8 bytes; strongly consistent. */
  list(query: ObjectQuery): Promise<ObjectPage>
  /** Resolves too where there is no such object. */
  delete(key: string): Promise<void>
  /**
   * What the place itself keeps of an object that is deleted or replaced, as a bucket with versions does; nothing where it
   * keeps nothing. Not given where a place never does.
   */
  keeps?(key: string): Promise<KeptObject | undefined>
  /** Of whoever opened it; a store does not close what it was given. */
  close(): Promise<void>
}

export interface KeptObject {
  /** An instant before which nobody can delete it; absent where somebody may. */
  readonly until?: string
}

/** Without a condition it replaces whatever is there. Of rivals one wins, and the others are told. */
export type PutCondition =
  | {
      readonly if: 'absent'
      /** Until this instant, in epoch ms, nobody may change or delete it; where the store can see to that. */
      readonly retainUntil?: number
    }
  /** Only in place of the object that had this `etag`. */
  | { readonly if: 'unchanged'; readonly etag: string }

export type PutOutcome = { readonly outcome: 'written'; readonly etag: string } | { readonly outcome: 'conflict' }

export interface StoredObject {
  readonly bytes: Uint8Array
  /** Says which bytes these are; opaque. */
  readonly etag: string
}

/** Keys that begin with `prefix` and come after `after`. */
export interface ObjectQuery {
  readonly prefix: string
  readonly after?: string
  /** 1 to 1,000. */
  readonly limit: number
}

export interface ObjectPage {
  readonly objects: readonly ListedObject[]
  /** There are others, after the last of these. */
  readonly more: boolean
}

export interface ListedObject {
  readonly key: string
  readonly bytes: number
}

/** A name between slashes; in a folder it is a file's, so that it must be one everywhere. */
const keyPart = /^[A-Za-z0-9][A-Za-z0-9._=+-]{0,199}$/

/** Throws `InvalidArgument` for a key that not every object store could hold. No key may be the folder of another. */
export function checkObjectKey(key: string): void {
  if (isObjectKey(key)) return
  const rule = `must be 1 to ${limits.objectKeyBytes} of A-Z a-z 0-9 . _ = + - /, each part beginning with a letter or digit`
  throw new InvalidArgument('key', `${JSON.stringify(key)} ${rule}`)
}

/** What somebody has put into a place by hand may have any name: it is no object then. */
export function isObjectKey(key: string): boolean {
  if (typeof key !== 'string' || utf8Length(key) > limits.objectKeyBytes) return false
  return key.split('/').every((part) => keyPart.test(part))
}

/** A prefix is the beginning of a key. */
export function checkObjectQuery({ prefix, after, limit }: ObjectQuery): void {
  if (prefix !== '') checkObjectKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
  if (after !== undefined) checkObjectKey(after)
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= limits.objectPage) return
  throw new InvalidArgument('limit', `must be 1 to ${limits.objectPage}`)
}

/** The same, whose own words for a failure become the cause of a typed error that names the object and the place. */
export function watchedObjects(objects: ObjectStore): ObjectStore {
  async function ask<Answer>(operation: string, run: () => Promise<Answer>): Promise<Answer> {
    try {
      return await run()
    } catch (error) {
      throw isStoreError(error) ? error : new StorageFailed(`${operation} in ${objects.name}`, error)
    }
  }
  return {
    name: objects.name,
    put: (key, bytes, condition) => ask(`write ${key}`, () => objects.put(key, bytes, condition)),
    get: (key) => ask(`read ${key}`, () => objects.get(key)),
    list: (query) => ask(`list ${query.prefix}`, () => objects.list(query)),
    delete: (key) => ask(`delete ${key}`, () => objects.delete(key)),
    ...(objects.keeps && {
      keeps: (key: string) => ask(`ask for versions of ${key}`, async () => objects.keeps?.(key)),
    }),
    close: () => objects.close(),
  }
}

/** What must be there. Throws `ObjectDamaged` where it is not. */
export async function getObject(objects: ObjectStore, key: string): Promise<Uint8Array<ArrayBufferLike>> {
  const object = await objects.get(key)
  if (object === undefined) throw new ObjectDamaged({ key, place: objects.name, reason: 'it is missing' })
  return object.bytes
}

/** All objects under a prefix, page by page. */
export async function* listObjects(objects: ObjectStore, prefix: string): AsyncGenerator<ListedObject> {
  for (let after: string | undefined; ; ) {
    const page = await objects.list({ prefix, limit: limits.objectPage, ...(after !== undefined && { after }) })
    yield* page.objects
    after = page.objects.at(-1)?.key
    if (!page.more || after === undefined) return
  }
}

export async function keysUnder(objects: ObjectStore, prefix: string): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of listObjects(objects, prefix)) keys.push(key)
  return keys
}

export async function deleteObjects(objects: ObjectStore, keys: readonly string[]): Promise<void> {
  for (const key of keys) await objects.delete(key)
}
