/**
 * A storage, or an object store, from a URL. The one place that knows all of them; each is loaded only when it is asked for.
 */
import { InvalidArgument } from './core/errors.ts'
import type { ObjectStore } from './core/object-store.ts'
import type { Storage } from './core/storage.ts'
import { type EmbeddedStore, openStore } from './core/store.ts'
import type { StoreOptions } from './core/store-options.ts'
import type { Clock } from './core/time.ts'

export interface OpenStorageOptions {
  /** Neither makes nor changes anything. */
  readonly readOnly?: boolean
  readonly clock?: Clock
}

/**
 * `memory:`, `sqlite:` and a path, `postgres://host/database`, or `dynamodb:` and a table, with `?region=`, `&endpoint=` and
 * `&sequencer=elsewhere` where they are wanted. Throws `InvalidArgument` for another URL, else as the storage does.
 */
export async function openStorage(
  url: string,
  { readOnly = false, clock = Date.now }: OpenStorageOptions = {},
): Promise<Storage> {
  const colon = url.indexOf(':')
  const scheme = url.slice(0, Math.max(colon, 0))
  const place = url.slice(colon + 1)
  switch (scheme) {
    case 'memory': {
      const { memoryStorage } = await import('./storage/memory/storage.ts')
      return memoryStorage({ clock })
    }
    case 'sqlite': {
      if (place === '') throw new InvalidArgument('store', 'names no file; write sqlite:./daybook.db')
      const { sqliteStorage } = await import('./storage/sqlite/storage.ts')
      return sqliteStorage({ file: place, readOnly, clock })
    }
    case 'postgres':
    case 'postgresql': {
      const { postgresStorage } = await import('./storage/postgres/storage.ts')
      return postgresStorage({ url, readOnly, clock })
    }
    case 'dynamodb': {
      const { dynamoStorage, parseDynamoUrl } = await import('./storage/dynamodb/storage.ts')
      return dynamoStorage({ ...parseDynamoUrl(url), readOnly, clock })
    }
    default: {
      // What looks like a password stays out of messages.
      const told = url.replace(/\/\/.*@/, '//')
      const known = 'memory:, sqlite:./daybook.db, postgres://host/database or dynamodb:table'
      throw new InvalidArgument('store', `"${told}" is no store; write ${known}`)
    }
  }
}

/**
 * An object store from a URL: `file:` and a folder, or its path alone; or `s3://bucket/prefix`, with `?region=` and
 * `&endpoint=` where they are wanted. Throws `InvalidArgument` for another URL.
 */
export async function openObjects(url: string): Promise<ObjectStore> {
  // One letter is a drive.
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]+(?=:)/.exec(url)?.[0]
  const path = scheme === 'file' ? url.slice('file:'.length) : url
  if ((scheme === undefined || scheme === 'file') && path !== '') {
    const { folderObjects } = await import('./objects/folder.ts')
    return folderObjects(path)
  }
  if (scheme === 's3') {
    const { parseS3Url, s3Objects } = await import('./objects/s3.ts')
    return s3Objects(parseS3Url(url))
  }
  const told = url.replace(/\/\/.*@/, '//')
  throw new InvalidArgument('objects', `"${told}" is no object store; write file:./archive or s3://bucket/prefix`)
}

/** A store from a URL: `await using store = await open('sqlite:./orders.db')`. */
export async function open(url: string, options: StoreOptions & OpenStorageOptions = {}): Promise<EmbeddedStore> {
  return openStore(await openStorage(url, options), options)
}
